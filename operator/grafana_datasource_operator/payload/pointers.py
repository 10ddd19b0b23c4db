"""Places in free-form JSON: JSON Pointers (RFC 6901), and the field paths that messages name.

Nothing here is recursive: what comes in may be nested without end.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..api.model import Json

ABSENT: Any = object()
"""What `find` answers where nothing is."""

_INDEX = re.compile("0|[1-9][0-9]*")
_PLAIN = re.compile("[A-Za-z0-9_-]+")


class NoSuchPlaceError(Exception):
    """Nothing can be put there.

    Attributes:
        parent: steps to the value that stands in the way.
        problem: what is wrong with it.
    """

    def __init__(self, parent: Sequence[str | int], problem: str) -> None:
        super().__init__(problem)
        self.parent = parent
        self.problem = problem


def escape(token: str) -> str:
    """One reference token of a JSON Pointer."""
    return token.replace("~", "~0").replace("/", "~1")


def parse_pointer(pointer: str) -> tuple[str, ...]:
    """Tokens of a JSON Pointer other than the empty one."""
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/"))


def below_json_data(pointer: str) -> tuple[str, ...]:
    """Tokens of a pointer into spec from jsonData on; empty where it does not lead below it."""
    first, *rest = parse_pointer(pointer)
    return tuple(rest) if first == "jsonData" else ()


def field_path(root: str, steps: Iterable[str | int]) -> str:
    """A place as messages name it, such as `spec.jsonData.traces[0].datasourceUid`."""
    return root + "".join(
        f".{step}" if isinstance(step, str) and _PLAIN.fullmatch(step) else f"[{step}]"
        for step in steps
    )


def find(value: Any, tokens: Iterable[str]) -> Any:
    """What `value` holds there, or ABSENT."""
    for token in tokens:
        if isinstance(value, dict):
            value = value.get(token, ABSENT)
        elif isinstance(value, list) and _is_index(token, value):
            value = value[int(token)]
        else:
            return ABSENT
    return value


def place(root: Json, tokens: Sequence[str], value: Any) -> Json:
    """A copy of `root` with `value` there; missing maps on the way are made, items of lists not.

    Raises:
        NoSuchPlaceError: a list has no such item, or what holds the place is no map or list.
    """
    copied = dict(root)
    parent: Any = copied
    above: list[str | int] = []
    for token in tokens[:-1]:
        key = _key(parent, token, above)
        child = parent[key] if isinstance(parent, list) else parent.get(key)
        above.append(key)
        parent[key] = parent = _copy(child, above)
    parent[_key(parent, tokens[-1], above)] = value
    return copied


def remove(root: Json, tokens: Sequence[str]) -> Json:
    """A copy of `root` without that entry of a map; items of lists stay."""
    *above, last = tokens
    parent = find(root, above)
    if not isinstance(parent, dict):
        return root
    left = {key: value for key, value in parent.items() if key != last}
    return place(root, above, left) if above else left


def _is_index(token: str, items: list[Any]) -> bool:
    return bool(_INDEX.fullmatch(token)) and int(token) < len(items)


def _key(parent: Any, token: str, above: Sequence[str | int]) -> Any:
    if isinstance(parent, dict):
        return token
    if not _is_index(token, parent):
        raise NoSuchPlaceError(above, f"has no item {token}")
    return int(token)


def _copy(child: Any, steps: Sequence[str | int]) -> Any:
    if child is None:
        return {}
    if isinstance(child, (dict, list)):
        return child.copy()
    raise NoSuchPlaceError(steps, "is neither a map nor a list")
