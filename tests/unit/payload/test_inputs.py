"""What a spec refers to, and the digest over what was found there."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.api.datasource import DataSource
from grafana_datasource_operator.payload.datasource import build_desired
from grafana_datasource_operator.payload.inputs import Inputs, Needs, needs_of
from grafana_datasource_operator.payload.pointers import place
from tests.canary import find_leaks
from tests.strategies import data_sources, inputs_for
from tests.unit.builders import (
    OWNER,
    SPEC,
    config_map,
    config_map_key,
    data_source_ref,
    desired_of,
    resource,
    secret,
    secret_key,
    value_from,
)

Json = dict[str, Any]

# --- needs --------------------------------------------------------------------------------------


def test_a_spec_that_refers_to_nothing_needs_nothing() -> None:
    needs = needs_of(resource().spec)
    assert needs == Needs(frozenset(), frozenset(), frozenset())
    assert not needs


def test_everything_that_is_referred_to_is_named_once() -> None:
    spec = resource(
        spec={
            **SPEC,
            "jsonData": {"a": data_source_ref("tempo"), "b": [data_source_ref("loki")]},
            "secureJsonData": {"a": secret_key("one", "k"), "b": secret_key("one", "l")},
            "secureJsonDataFrom": [
                {"secretRef": {"name": "two"}},
                {"secretRef": {"name": "three", "optional": True}},
            ],
            "valuesFrom": [
                value_from("/user", secret_key("four", "k", optional=True)),
                value_from("/database", config_map_key("one", "k")),
                value_from("/name", config_map_key("five", "k", optional=True)),
            ],
        }
    ).spec
    needs = needs_of(spec)
    assert needs.secrets == {"one", "two", "three", "four"}
    assert needs.config_maps == {"one", "five"}
    assert needs.data_sources == {"tempo", "loki"}


@pytest.mark.parametrize("kind", ["secrets", "config_maps", "data_sources"])
def test_needs_are_true_for_any_of_them(kind: str) -> None:
    none: dict[str, frozenset[str]] = dict.fromkeys(
        ["secrets", "config_maps", "data_sources"], frozenset()
    )
    assert Needs(**{**none, kind: frozenset({"x"})})


@pytest.mark.parametrize(
    "json_data",
    [
        data_source_ref("tempo"),
        {"a": {"dataSourceRef": "tempo"}},
        {"a": {**data_source_ref("tempo"), "more": 1}},
        place({}, ["x"] * 5000, {"dataSourceRef": [1]}),
    ],
)
def test_what_is_no_reference_in_form_is_not_counted_nor_raised(json_data: Json) -> None:
    spec = resource().spec.model_copy(update={"json_data": json_data})
    assert needs_of(spec).data_sources == frozenset()


def test_an_entry_without_a_source_is_not_counted() -> None:
    spec = resource(spec={**SPEC, "valuesFrom": [value_from("/user", {})]}).spec
    assert not needs_of(spec)


# --- revision -----------------------------------------------------------------------------------


def _of_secret(**changed: Any) -> str:
    base: Json = {"uid": "s-1", "version": "1", "data": {"k": "value-1"}}
    content = secret("s", **{**base, **changed})
    revision = desired_of(
        inputs=Inputs({"s": content}), secureJsonDataFrom=[{"secretRef": {"name": "s"}}]
    ).secrets.revision
    assert revision is not None
    return revision


def test_there_is_no_revision_where_nothing_is_referred_to() -> None:
    assert desired_of().secrets.revision is None


def test_resources_that_use_only_secrets_keep_the_revision_of_earlier_releases() -> None:
    # SHA-256 of [[["s", "s-1", "1"]], ["k"]].
    assert _of_secret() == "ec3f3c7d2ef1f8ff3e8ca0a682c4fc87"


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "2"},
        {"uid": "s-2"},
        {"data": {"other": "value-1"}},
        {"data": {"k": "value-1", "more": "value-2"}},
    ],
)
def test_it_changes_with_every_write_of_a_secret(changed: Json) -> None:
    assert _of_secret(**changed) != _of_secret()


def test_it_is_no_digest_of_values() -> None:
    assert _of_secret(data={"k": "another-value"}) == _of_secret()


def test_it_depends_on_a_secret_s_name_and_presence() -> None:
    held = {name: secret(name, data={"k": "v-1"}) for name in ("s", "t")}
    inputs = Inputs({**held, "u": None})
    revisions = [
        desired_of(
            inputs=inputs, secureJsonDataFrom=[{"secretRef": {"name": name, "optional": True}}]
        ).secrets.revision
        for name in ("s", "t", "u")
    ]
    assert None not in revisions
    assert len(set(revisions)) == 3


def test_it_changes_when_a_key_of_secure_json_data_is_renamed() -> None:
    inputs = Inputs({"s": secret("s", data={"k": "value-1"})})
    one = desired_of(inputs=inputs, secureJsonData={"a": secret_key("s", "k")})
    other = desired_of(inputs=inputs, secureJsonData={"b": secret_key("s", "k")})
    assert one.secrets.revision != other.secrets.revision


def test_it_does_not_depend_on_the_order_in_which_the_spec_names_things() -> None:
    inputs = Inputs(
        {"s": secret("s", data={"k": "1", "l": "2"}), "t": secret("t", data={"m": "3"})},
        uids={"tempo": "u-1", "loki": "u-2"},
    )
    a, b = secret_key("s", "k"), secret_key("t", "m")
    tempo, loki = data_source_ref("tempo"), data_source_ref("loki")
    one = desired_of(
        inputs=inputs, secureJsonData={"a": a, "b": b}, jsonData={"x": tempo, "y": loki}
    )
    other = desired_of(
        inputs=inputs, secureJsonData={"b": b, "a": a}, jsonData={"y": loki, "x": tempo}
    )
    assert one.secrets.revision == other.secrets.revision is not None
    assert len(one.secrets.revision or "") <= 64


def _of_all(
    *, uid: str = "tempo-1", maps: Json | None = None, secrets: Json | None = None, **spec: Any
) -> str | None:
    inputs = Inputs(
        {"s": secret("s", **(secrets or {}), data={"user": "secret-user-1"})},
        {"c": config_map("c", **(maps or {}), data={"db": "db-1"})},
        {"tempo": uid},
    )
    said = {
        "jsonData": {"a": data_source_ref("tempo")},
        "valuesFrom": [
            value_from("/user", secret_key("s", "user")),
            value_from("/database", config_map_key("c", "db")),
        ],
    }
    return desired_of(inputs=inputs, **{**said, **spec}).secrets.revision


@pytest.mark.parametrize(
    "changed",
    [
        {"uid": "tempo-2"},
        {"maps": {"version": "2"}},
        {"maps": {"uid": "c-2"}},
        {"secrets": {"version": "2"}},
        {"secrets": {"uid": "s-2"}},
        {"valuesFrom": [value_from("/user", secret_key("s", "user"))]},
        {
            "valuesFrom": [
                value_from("/basicAuthUser", secret_key("s", "user")),
                value_from("/database", config_map_key("c", "db")),
            ]
        },
        {"jsonData": {}},
    ],
)
def test_it_changes_with_config_maps_uids_and_the_fields_that_are_fed(changed: Json) -> None:
    assert _of_all() == _of_all()
    assert _of_all(**changed) != _of_all()


def test_a_reference_that_a_value_replaces_is_not_used() -> None:
    def replaced(uid: str) -> str | None:
        fed = value_from("/jsonData/a", config_map_key("c", "db"))
        return _of_all(uid=uid, valuesFrom=[fed])

    assert replaced("tempo-1") == replaced("tempo-2")


@given(data_sources, st.data())
def test_it_is_there_exactly_where_something_is_referred_to_and_holds_no_value(
    described: DataSource, data: st.DataObject
) -> None:
    inputs = data.draw(inputs_for(described))
    revision = build_desired(described, inputs, OWNER).secrets.revision
    assert (revision is not None) is bool(needs_of(described.spec))
    values = [
        value.get_secret_value()
        for content in inputs.secrets.values()
        for value in (content.data.values() if content else ())
    ]
    assert find_leaks(values, {"revision": revision or ""}) == []
