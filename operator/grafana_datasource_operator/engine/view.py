"""What the operator last saw of each resource, and who refers to what."""

from collections.abc import Callable, Collection, Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from ..api.model import Json
from ..api.names import FINALIZER, FORCE_DELETE, RECONCILE_REQUESTED_AT, ObjectKey


class Reference(NamedTuple):
    """Something else that a resource refers to.

    Attributes:
        kind: of what is referred to.
        namespace: of it.
        name: of it.
        is_contested: a thing that only one can have: whoever gives it up makes room for others.
    """

    kind: str
    namespace: str
    name: str
    is_contested: bool = False


class Change(Enum):
    """What an observation means for the queue."""

    NONE = "none"
    FIRST_SEEN = "first seen"
    CHANGED = "changed"
    GONE = "gone"


ReferencesOf = Callable[[Json], Iterable[Reference]]


def key_of(raw: Json) -> ObjectKey:
    """Key of a raw object."""
    meta = raw["metadata"]
    return ObjectKey(raw["kind"], meta["namespace"], meta["name"])


def _trigger(raw: Json, *, labels_count: bool) -> tuple[object, ...]:
    """What a look depends on; status and other annotations are none of it."""
    meta = raw["metadata"]
    annotations = meta.get("annotations", {})
    return (
        meta.get("labels") if labels_count else None,
        meta["uid"],
        meta.get("generation"),
        meta.get("deletionTimestamp"),
        annotations.get(RECONCILE_REQUESTED_AT),
        annotations.get(FORCE_DELETE),
    )


def _lost_finalizer(old: Json, new: Json) -> bool:
    """A foreign apply took our finalizer off; that it appears is our own doing."""
    return FINALIZER in old["metadata"].get("finalizers", []) and (
        FINALIZER not in new["metadata"].get("finalizers", [])
    )


def _version(raw: Json) -> int:
    return int(raw["metadata"]["resourceVersion"])


class View:
    """Raw objects by key, and references in reverse. Not thread-safe."""

    def __init__(self, references_of: ReferencesOf, labelled_kinds: Collection[str] = ()) -> None:
        """Start empty.

        Args:
            references_of: what a raw object refers to.
            labelled_kinds: kinds whose labels mean something.
        """
        self._references_of = references_of
        self._labelled_kinds = labelled_kinds
        self._objects: dict[ObjectKey, Json] = {}
        self._references: dict[ObjectKey, frozenset[Reference]] = {}
        self._users: dict[Reference, set[ObjectKey]] = {}

    def get(self, key: ObjectKey) -> Json | None:
        """The object as last seen."""
        return self._objects.get(key)

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._objects)

    def users_of(self, reference: Reference) -> list[ObjectKey]:
        """Resources that refer to something."""
        return list(self._users.get(reference, ()))

    def references_of(self, key: ObjectKey) -> frozenset[Reference]:
        """What a resource refers to."""
        return self._references.get(key, frozenset())

    def put(self, raw: Json) -> Change:
        """Take in an object, from a watch or from the answer to a write; older ones are ignored."""
        key = key_of(raw)
        old = self._objects.get(key)
        if old is not None and _version(raw) <= _version(old):
            return Change.NONE
        raw["metadata"].pop("managedFields", None)
        self._objects[key] = raw
        self._refer(key, frozenset(self._references_of(raw)))
        if old is None:
            return Change.FIRST_SEEN
        return Change.CHANGED if self._is_changed(old, raw) else Change.NONE

    def remove(self, raw: Json) -> Change:
        """Take in that an object is gone; a namesake made since stays."""
        key = key_of(raw)
        old = self._objects.get(key)
        if old is None or old["metadata"]["uid"] != raw["metadata"]["uid"]:
            return Change.NONE
        del self._objects[key]
        self._refer(key, frozenset())
        return Change.GONE

    def _is_changed(self, old: Json, new: Json) -> bool:
        counts = new["kind"] in self._labelled_kinds
        before, after = (_trigger(raw, labels_count=counts) for raw in (old, new))
        return before != after or _lost_finalizer(old, new)

    def _refer(self, key: ObjectKey, references: frozenset[Reference]) -> None:
        before = self._references.pop(key, frozenset())
        for reference in before - references:
            users = self._users[reference]
            users.discard(key)
            if not users:
                del self._users[reference]
        for reference in references - before:
            self._users.setdefault(reference, set()).add(key)
        if references:
            self._references[key] = references
