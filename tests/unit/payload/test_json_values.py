"""Free-form JSON: nulls, numbers, pointers."""

from typing import Any

import pytest
from hypothesis import given

from grafana_datasource_operator.payload.json_values import (
    find_differences,
    find_unsafe_integers,
    is_deeper_than,
    without_nulls,
)
from tests.strategies import json_values

_LIMIT = 2**63 - 1


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ({"a": None}, {}),
        ({"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": [None, {"b": None}]}, {"a": [None, {}]}),
        ([None], [None]),
        (None, None),
        ({"a": False, "b": 0, "c": "", "d": [], "e": {}}, None),
    ],
)
def test_nulls_leave_maps_at_every_depth_but_stay_in_lists(value: Any, cleaned: Any) -> None:
    assert without_nulls(value) == (value if cleaned is None else cleaned)


@given(json_values)
def test_what_has_no_nulls_in_maps_any_more_stays_as_it_is(value: Any) -> None:
    once = without_nulls(value)
    assert without_nulls(once) == once


@pytest.mark.parametrize(
    ("desired", "actual", "pointers"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["/a"]),
        ({"a": 1}, {}, ["/a"]),
        ({}, {"a": 1}, ["/a"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["/a/b/1"]),
        ({"a": [1]}, {"a": [1, 2]}, ["/a"]),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["/a/0", "/a/1"]),
        ({"a": {}}, {"a": []}, ["/a"]),
        ({"a": {}}, {"a": None}, ["/a"]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, ["/a"]),
        ({"a": 0}, {"a": False}, ["/a"]),
        ({"a": True}, {"a": True}, []),
        ({"a": True}, {"a": False}, ["/a"]),
        ({"a": "1"}, {"a": 1}, ["/a"]),
        ({"a": ""}, {"a": None}, ["/a"]),
        ({"a": _LIMIT}, {"a": _LIMIT}, []),
        ({"a": _LIMIT}, {"a": _LIMIT - 1}, ["/a"]),
        ({"a": 2**53 + 1}, {"a": float(2**53)}, ["/a"]),
        ({"a/b": 1, "m~n": 1}, {}, ["/a~1b", "/m~0n"]),
        ({"a": {"x/y": [{"~": 1}]}}, {"a": {"x/y": [{"~": 2}]}}, ["/a/x~1y/0/~0"]),
        ({"b": 1, "a": 1}, {}, ["/a", "/b"]),
    ],
)
def test_differences_are_named_where_they_are(
    desired: Any, actual: Any, pointers: list[str]
) -> None:
    assert list(find_differences(desired, actual, "")) == pointers
    assert list(find_differences(actual, desired, "")) == pointers


def test_the_pointer_of_two_different_roots_is_the_one_given() -> None:
    assert list(find_differences({"a": 1}, [1], "/jsonData")) == ["/jsonData"]


@given(json_values)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert list(find_differences(value, value, "")) == []


@given(json_values, json_values)
def test_two_values_differ_exactly_where_python_and_booleans_say(left: Any, right: Any) -> None:
    def typed(value: Any) -> Any:
        match value:
            case bool():
                return ("bool", value)
            case dict():
                return {key: typed(child) for key, child in value.items()}
            case list():
                return [typed(item) for item in value]
            case _:
                return value

    differs = bool(list(find_differences(left, right, "")))
    assert differs is (typed(left) != typed(right))


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        ({"a": _LIMIT, "b": -_LIMIT}, []),
        ({"a": _LIMIT + 1}, ["/j/a"]),
        ({"a": -_LIMIT - 1}, ["/j/a"]),
        ({"a": [0, {"b/c": 10**19}]}, ["/j/a/1/b~1c"]),
        ({"a": 10**30, "b": 10**30}, ["/j/a", "/j/b"]),
        ({"a": True, "b": 1e300, "c": "99999999999999999999"}, []),
    ],
)
def test_integers_that_kubernetes_has_rounded_are_found(value: Any, pointers: list[str]) -> None:
    assert list(find_unsafe_integers(value, "/j")) == pointers


def _nested(levels: int, value: Any) -> Any:
    for level in range(levels):
        value = [value] if level % 2 else {"a": value, "b": 1}
    return value


@pytest.mark.parametrize("levels", [1, 2, 5, 100])
def test_depth_counts_lists_and_maps(levels: int) -> None:
    for leaf in (1, None, "text"):
        assert not is_deeper_than(levels, _nested(levels, leaf))
        assert is_deeper_than(levels - 1, _nested(levels, leaf))
    assert is_deeper_than(levels, _nested(levels, {}))


def test_a_depth_beyond_that_of_python_s_functions_is_no_problem() -> None:
    assert is_deeper_than(100, _nested(100_000, 1))
