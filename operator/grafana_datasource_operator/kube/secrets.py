"""Read Secrets when they are used; nothing is kept."""

import asyncio
from collections.abc import Iterable

from pydantic import SecretStr

from ..api.secret import SecretContent
from .api import KubeApi
from .errors import NotFoundError


class SecretReader:
    """Reads Secrets of one namespace at a time: always the resource's own."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def read_all(
        self, namespace: str, names: Iterable[str]
    ) -> dict[str, SecretContent | None]:
        """Name -> content, or None where there is no such Secret.

        Raises:
            KubeError: the apiserver could not be asked.
        """
        wanted = sorted(names)
        found = await asyncio.gather(*(self._read(namespace, name) for name in wanted))
        return dict(zip(wanted, found, strict=True))

    async def _read(self, namespace: str, name: str) -> SecretContent | None:
        try:
            raw = await self._api.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
        except NotFoundError:
            return None
        meta = raw["metadata"]
        return SecretContent(
            name=name,
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            data={key: SecretStr(value) for key, value in (raw.get("data") or {}).items()},
        )
