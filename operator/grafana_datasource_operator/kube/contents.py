"""Read Secrets and ConfigMaps when they are used; nothing is kept."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from pydantic import SecretStr

from ..api.config_map import ConfigMapContent
from ..api.model import Json
from ..api.secret import SecretContent
from .api import KubeApi
from .errors import NotFoundError

T = TypeVar("T")


class ContentReader:
    """Reads from one namespace at a time: always that of the resource which refers to it."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def read_secrets(
        self, namespace: str, names: Iterable[str]
    ) -> dict[str, SecretContent | None]:
        """Name -> content, or None where there is no such Secret.

        Raises:
            KubeError: the apiserver could not be asked.
        """
        return await self._read_all(namespace, "secrets", names, _secret)

    async def read_config_maps(
        self, namespace: str, names: Iterable[str]
    ) -> dict[str, ConfigMapContent | None]:
        """Name -> content, or None where there is no such ConfigMap.

        Raises:
            KubeError: the apiserver could not be asked.
        """
        return await self._read_all(namespace, "configmaps", names, _config_map)

    async def _read_all(
        self, namespace: str, plural: str, names: Iterable[str], build: Callable[[Json], T]
    ) -> dict[str, T | None]:
        wanted = sorted(names)
        paths = [f"/api/v1/namespaces/{namespace}/{plural}/{name}" for name in wanted]
        found = await asyncio.gather(*(self._read(path) for path in paths))
        contents = [None if raw is None else build(raw) for raw in found]
        return dict(zip(wanted, contents, strict=True))

    async def _read(self, path: str) -> Json | None:
        try:
            return await self._api.request("GET", path)
        except NotFoundError:
            return None


def _secret(raw: Json) -> SecretContent:
    meta = raw["metadata"]
    data = {key: SecretStr(value) for key, value in (raw.get("data") or {}).items()}
    return SecretContent(meta["name"], meta["uid"], meta["resourceVersion"], data)


def _config_map(raw: Json) -> ConfigMapContent:
    meta = raw["metadata"]
    data = dict(raw.get("data") or {})
    return ConfigMapContent(meta["name"], meta["uid"], meta["resourceVersion"], data)
