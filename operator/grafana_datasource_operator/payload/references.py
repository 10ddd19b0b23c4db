"""Turn references to other GrafanaDataSources, anywhere in free-form JSON, into their uids.

Only the uid is needed, which is known before Grafana is asked: two may point at each other.
Nothing here is recursive: the depth may not have been checked yet.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..api.model import Json
from ..api.reasons import Reason
from ..errors import Retrying, invalid_spec
from .pointers import field_path, place

KEY = "dataSourceRef"
"""An object with this single key is a reference."""

_MAX_NAME = 253

Steps = tuple[str | int, ...]


def referred_names(value: Json) -> frozenset[str]:
    """Names of all resources that well-formed references in `value` name."""
    return frozenset(
        _name_of(reference)
        for steps, reference in _find_references(value)
        if steps and _problem_of(reference) is None
    )


def check_references(value: Json, root: str = "spec.jsonData") -> None:
    """Refuse references that are none in form.

    Raises:
        Stalled: InvalidSpec, naming the place below `root`.
    """
    for steps, reference in _find_references(value):
        problem = _problem_of(reference) if steps else f"cannot be a {KEY} itself"
        if problem is not None:
            raise invalid_spec(field_path(root, steps), problem)


def resolve_references(
    value: Json, uids: Mapping[str, str | None], root: str = "spec.jsonData"
) -> Json:
    """`value` with a uid in place of each reference.

    Raises:
        ReconcileError: InvalidSpec, or WaitingForDataSource where a resource does not exist.
    """
    check_references(value, root)
    resolved = value
    for steps, reference in _find_references(value):
        name = _name_of(reference)
        uid = uids[name]
        if uid is None:
            raise Retrying(
                Reason.WAITING_FOR_DATA_SOURCE,
                f'{field_path(root, steps)}: GrafanaDataSource "{name}" does not exist in this'
                " namespace; until then Grafana is left as it is",
            )
        resolved = place(resolved, [str(step) for step in steps], uid)
    return resolved


def _find_references(value: Json) -> Iterator[tuple[Steps, Json]]:
    """Objects with the key, where they are, in the order of the document."""
    waiting: list[tuple[Steps, Any]] = [((), value)]
    while waiting:
        steps, found = waiting.pop()
        if isinstance(found, dict):
            if found.get(KEY) is not None:
                yield steps, found
                continue
            children: list[tuple[str | int, Any]] = list(found.items())
        else:
            children = list(enumerate(found))
        waiting += [
            ((*steps, key), child)
            for key, child in reversed(children)
            if isinstance(child, (dict, list))
        ]


def _problem_of(reference: Json) -> str | None:
    beside = sorted(_said(reference) - {KEY})
    if beside:
        return f'{KEY} stands alone in its object; remove "{beside[0]}"'
    target = reference[KEY]
    if not isinstance(target, dict) or _said(target) != {"name"} or not _is_name(target["name"]):
        return f"{KEY} holds name, the name of a GrafanaDataSource in this namespace, and no more"
    return None


def _said(value: Json) -> set[str]:
    return {key for key, child in value.items() if child is not None}


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= _MAX_NAME


def _name_of(reference: Json) -> str:
    return str(reference[KEY]["name"])
