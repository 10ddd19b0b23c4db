"""Free-form JSON: what counts as equal, what cannot be kept, what differs where."""

from collections.abc import Iterator
from typing import Any

from .pointers import escape

MAX_INTEGER = 2**63 - 1


def without_nulls(value: Any) -> Any:
    """`value` without map entries that are null: the apiserver keeps or drops them at will."""
    if isinstance(value, dict):
        return {key: without_nulls(child) for key, child in value.items() if child is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def is_deeper_than(levels: int, value: Any) -> bool:
    """Whether lists and maps in `value` are nested more deeply; not recursive itself."""
    layer = [value]
    for _ in range(levels):
        layer = [child for item in layer for child in _children(item)]
    return any(isinstance(item, (dict, list)) for item in layer)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def find_unsafe_integers(value: Any, pointer: str) -> Iterator[str]:
    """JSON Pointers of integers that the apiserver has already rounded."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from find_unsafe_integers(child, f"{pointer}/{escape(key)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_unsafe_integers(item, f"{pointer}/{index}")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        yield pointer


def find_differences(desired: Any, actual: Any, pointer: str) -> Iterator[str]:
    """JSON Pointers at which two values differ; true is not 1, but 1.0 is 1."""
    if isinstance(desired, dict) and isinstance(actual, dict):
        for key in sorted({*desired, *actual}):
            child = f"{pointer}/{escape(key)}"
            if key not in desired or key not in actual:
                yield child
            else:
                yield from find_differences(desired[key], actual[key], child)
    elif isinstance(desired, list) and isinstance(actual, list) and len(desired) == len(actual):
        for index, (left, right) in enumerate(zip(desired, actual, strict=True)):
            yield from find_differences(left, right, f"{pointer}/{index}")
    elif isinstance(desired, bool) is not isinstance(actual, bool) or desired != actual:
        yield pointer
