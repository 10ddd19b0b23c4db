"""Places in free-form JSON: found, filled and emptied without a change to what came in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.payload.pointers import (
    ABSENT,
    NoSuchPlaceError,
    below_json_data,
    escape,
    field_path,
    find,
    parse_pointer,
    place,
    remove,
)
from tests.strategies import json_data, json_values, texts

_TREE: dict[str, Any] = {
    "a": {"b": 1, "n": None},
    "list": [{"x": 1}, [2, 3]],
    "text": "t",
    "": {"": 0},
}


@pytest.mark.parametrize(
    ("token", "escaped"),
    [("plain", "plain"), ("a/b", "a~1b"), ("m~n", "m~0n"), ("~1", "~01"), ("/~", "~1~0"), ("", "")],
)
def test_a_pointer_escapes_tilde_and_slash(token: str, escaped: str) -> None:
    assert escape(token) == escaped
    assert parse_pointer(f"/{escaped}") == (token,)


@given(st.lists(texts, min_size=1, max_size=4))
def test_every_pointer_is_read_as_it_was_written(tokens: list[str]) -> None:
    assert parse_pointer("".join(f"/{escape(token)}" for token in tokens)) == tuple(tokens)


@pytest.mark.parametrize(
    ("pointer", "below"),
    [
        ("/jsonData", ()),
        ("/jsonData/a", ("a",)),
        ("/jsonData/a~1b/0", ("a/b", "0")),
        ("/jsonData/", ("",)),
        ("/jsonDataX/a", ()),
        ("/url/jsonData", ()),
    ],
)
def test_what_is_below_json_data_is_told_from_the_rest(
    pointer: str, below: tuple[str, ...]
) -> None:
    assert below_json_data(pointer) == below


def test_messages_name_a_place_as_people_write_it() -> None:
    steps: list[str | int] = ["tracesToLogsV2", "tags", 0, "datasourceUid", "gdso.dev/owner"]
    assert (
        field_path("spec.jsonData", steps)
        == "spec.jsonData.tracesToLogsV2.tags[0].datasourceUid[gdso.dev/owner]"
    )


@pytest.mark.parametrize(
    ("tokens", "found"),
    [
        ([], _TREE),
        (["a", "b"], 1),
        (["a", "n"], None),
        (["list", "0", "x"], 1),
        (["list", "1", "1"], 3),
        (["", ""], 0),
        (["a", "c"], ABSENT),
        (["c", "b"], ABSENT),
        (["list", "2"], ABSENT),
        (["list", "-"], ABSENT),
        (["list", "00"], ABSENT),
        (["list", "-1"], ABSENT),
        (["list", "\u0660"], ABSENT),
        (["text", "0"], ABSENT),
        (["a", "n", "x"], ABSENT),
    ],
)
def test_a_value_is_found_by_its_tokens(tokens: list[str], found: Any) -> None:
    assert find(_TREE, tokens) is found or find(_TREE, tokens) == found


@pytest.mark.parametrize(
    ("tokens", "parent", "problem"),
    [
        (["text", "x"], ["text"], "is neither a map nor a list"),
        (["text", "x", "y"], ["text"], "is neither a map nor a list"),
        (["a", "b", "c"], ["a", "b"], "is neither a map nor a list"),
        (["list", "2"], ["list"], "has no item 2"),
        (["list", "-"], ["list"], "has no item -"),
        (["list", "01"], ["list"], "has no item 01"),
        (["list", "7", "x"], ["list"], "has no item 7"),
        (["list", "x", "y"], ["list"], "has no item x"),
    ],
)
def test_where_nothing_can_be_put_is_said_by_what_is_in_the_way(
    tokens: list[str], parent: list[str], problem: str
) -> None:
    with pytest.raises(NoSuchPlaceError) as refused:
        place(_TREE, tokens, "new")
    assert (list(refused.value.parent), refused.value.problem) == (parent, problem)


@pytest.mark.parametrize(
    ("tokens", "result"),
    [
        (["a"], {"a": "new"}),
        (["a", "b"], {"a": {"b": "new", "n": None}}),
        (["a", "n", "x"], {"a": {"b": 1, "n": {"x": "new"}}}),
        (["c", "0", "-"], {"c": {"0": {"-": "new"}}}),
        (["list", "0"], {"list": ["new", [2, 3]]}),
        (["list", "1", "0"], {"list": [{"x": 1}, ["new", 3]]}),
    ],
)
def test_a_value_is_put_where_it_belongs_and_missing_maps_are_made(
    tokens: list[str], result: dict[str, Any]
) -> None:
    assert place(_TREE, tokens, "new") == {**_TREE, **result}


@given(json_data, st.lists(st.sampled_from(["httpMethod", "a/b", "deep", "0"]), min_size=1))
def test_what_was_put_is_found_and_what_came_in_stays(
    root: dict[str, Any], tokens: list[str]
) -> None:
    before = repr(root)
    try:
        placed = place(root, tokens, "new")
    except NoSuchPlaceError:
        assert find(root, tokens) is ABSENT
    else:
        assert find(placed, tokens) == "new"
        assert find(remove(placed, tokens), tokens) is ABSENT or isinstance(
            find(placed, tokens[:-1]), list
        )
    assert repr(root) == before


@pytest.mark.parametrize(
    ("tokens", "left"),
    [
        (["a"], {k: v for k, v in _TREE.items() if k != "a"}),
        (["a", "b"], {**_TREE, "a": {"n": None}}),
        (["list", "0", "x"], {**_TREE, "list": [{}, [2, 3]]}),
        (["list", "0"], _TREE),
        (["c"], _TREE),
        (["a", "c", "d"], _TREE),
        (["text", "x"], _TREE),
    ],
)
def test_an_entry_of_a_map_is_taken_out_and_no_item_of_a_list(
    tokens: list[str], left: dict[str, Any]
) -> None:
    assert remove(_TREE, tokens) == left


@given(json_values)
def test_depth_is_no_problem(value: Any) -> None:
    tokens = ["x"] * 5000
    deep = place({}, tokens, value)
    assert find(deep, tokens) is value
    assert find(remove(deep, tokens), tokens) is ABSENT
