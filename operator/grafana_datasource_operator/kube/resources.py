"""Read and write the custom resources: finalizer, status, and lists of metadata."""

from collections.abc import Callable

from ..api.model import Json
from ..api.names import FINALIZER, GROUP, VERSION, ResourceKind
from .api import MERGE_PATCH, METADATA_LIST, KubeApi
from .errors import ConflictError, KubeError, NotFoundError

FIELD_MANAGER = "gdso"


class Resources:
    """The objects of one kind. Whatever a write answers is handed to `remember`.

    So the next look starts from what we wrote, not from an older watch event.
    """

    def __init__(self, api: KubeApi, kind: ResourceKind, remember: Callable[[Json], None]) -> None:
        self._api = api
        self._kind = kind
        self._remember = remember

    async def add_finalizer(self, raw: Json) -> Json:
        """Set our finalizer; the object must not have changed since `raw`.

        Raises:
            ConflictError: it has.
        """
        return await self._set_finalizers(raw, [*_finalizers(raw), FINALIZER])

    async def remove_finalizer(self, raw: Json) -> Json:
        """Drop our finalizer, so that a deleted object goes.

        Raises:
            ConflictError: the object changes all the time.
        """
        try:
            return await self._set_finalizers(raw, _without_ours(raw))
        except ConflictError:
            # As after the status that says that deleting takes long. Nobody can undo a deletion.
            found = await self.get(raw["metadata"]["namespace"], raw["metadata"]["name"])
            if found is None or found["metadata"]["uid"] != raw["metadata"]["uid"]:
                return raw
            return await self._set_finalizers(found, _without_ours(found))

    async def patch_status(self, raw: Json, status: Json) -> Json:
        """Replace the status of the object that `raw` is, and of no namesake made since.

        Raises:
            ConflictError: the object was re-created.
        """
        gone = dict.fromkeys(set(raw.get("status", {})) - set(status))
        return await self._patch(
            f"{self._path(raw)}/status",
            {"metadata": {"uid": raw["metadata"]["uid"]}, "status": {**gone, **status}},
        )

    async def get(self, namespace: str, name: str) -> Json | None:
        """The object as it is now, or None."""
        try:
            found = await self._api.request("GET", f"{self._collection(namespace)}/{name}")
        except NotFoundError:
            return None
        self._remember(found)
        return found

    async def exists(self, namespace: str, name: str) -> bool:
        """Whether the object exists; one out of sight is not to be remembered."""
        try:
            await self._api.request("GET", f"{self._collection(namespace)}/{name}")
        except NotFoundError:
            return False
        return True

    async def list_metadata(self, namespace: str | None) -> list[Json]:
        """Metadata of all objects in a namespace (None: in all), from the apiserver's cache."""
        answer = await self._api.request(
            "GET",
            self._collection(namespace),
            query={"resourceVersion": "0"},
            accept=METADATA_LIST,
        )
        # An empty list of metadata has null for its items.
        return [item["metadata"] for item in answer["items"] or []]

    async def is_discovered(self) -> bool:
        """Whether discovery, which lags behind what is served, shows the kind."""
        try:
            groups = await self._api.request("GET", "/apis")
            kinds = await self._api.request("GET", f"/apis/{GROUP}/{VERSION}")
        except KubeError:
            return False
        return any(group["name"] == GROUP for group in groups["groups"]) and any(
            kind["name"] == self._kind.plural for kind in kinds["resources"]
        )

    async def _set_finalizers(self, raw: Json, finalizers: list[str]) -> Json:
        version = raw["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version, "finalizers": finalizers}}
        return await self._patch(self._path(raw), body)

    async def _patch(self, path: str, body: Json) -> Json:
        written = await self._api.request(
            "PATCH",
            path,
            body=body,
            query={"fieldManager": FIELD_MANAGER},
            content_type=MERGE_PATCH,
        )
        self._remember(written)
        return written

    def _path(self, raw: Json) -> str:
        meta = raw["metadata"]
        return f"{self._collection(meta['namespace'])}/{meta['name']}"

    def _collection(self, namespace: str | None) -> str:
        scope = "" if namespace is None else f"/namespaces/{namespace}"
        return f"/apis/{GROUP}/{VERSION}{scope}/{self._kind.plural}"


def _without_ours(raw: Json) -> list[str]:
    return [finalizer for finalizer in _finalizers(raw) if finalizer != FINALIZER]


def _finalizers(raw: Json) -> list[str]:
    return list(raw["metadata"].get("finalizers", []))
