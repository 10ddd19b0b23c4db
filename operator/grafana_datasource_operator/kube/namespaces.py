"""Namespaces as far as the operator needs them: uid, labels, and whether one is going away."""

from dataclasses import dataclass, field

from .api import KubeApi
from .errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace as the apiserver holds it."""

    uid: str
    """No other cluster has it."""
    labels: dict[str, str] = field(default_factory=dict)
    is_terminating: bool = False


class NamespaceReader:
    """Reads one namespace at a time, when it is needed."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def read(self, name: str) -> Namespace | None:
        """The namespace, or None.

        Raises:
            KubeError: it may not be read, or the apiserver could not be asked.
        """
        try:
            raw = await self._api.request("GET", f"/api/v1/namespaces/{name}")
        except NotFoundError:
            return None
        meta = raw["metadata"]
        return Namespace(
            uid=str(meta["uid"]),
            labels=dict(meta.get("labels") or {}),
            is_terminating=raw.get("status", {}).get("phase") == "Terminating",
        )

    async def read_labels(self, name: str) -> dict[str, str]:
        """Labels of a namespace; none where it does not exist.

        Raises:
            KubeError: it may not be read, or the apiserver could not be asked.
        """
        found = await self.read(name)
        return found.labels if found else {}
