"""Bodies of POST and PUT: the whole state, our mark in it, nothing lost that is not ours."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import SecretStr

from grafana_datasource_operator.api.grafana_json import DataSourceBody, DataSourceState
from grafana_datasource_operator.api.names import OWNER_KEY
from grafana_datasource_operator.grafana.client import encode_body
from grafana_datasource_operator.payload.datasource import (
    DesiredDataSource,
    create_body,
    orphan_body,
    parked_name,
    update_body,
)
from grafana_datasource_operator.payload.ignored import KEPT_KEYS
from grafana_datasource_operator.payload.inputs import Inputs
from grafana_datasource_operator.payload.pointers import find, parse_pointer
from grafana_datasource_operator.payload.secrets import ResolvedSecrets
from tests.strategies import desired_states, grafana_states, uids
from tests.unit.builders import OWNER, desired_of, resource, secret, secret_key, state, value_from
from tests.unit.grafana_model import GrafanaModel

MARK = {OWNER_KEY: str(OWNER)}


def _secrets(**values: str) -> ResolvedSecrets:
    return ResolvedSecrets({key: SecretStr(value) for key, value in values.items()})


def test_a_body_says_every_field_in_grafana_s_names() -> None:
    desired = desired_of(
        _secrets(basicAuthPassword="pass-word-1"),
        name="Prometheus",
        access="direct",
        url="http://p:9090",
        user="u",
        database="d",
        basicAuth=True,
        basicAuthUser="b",
        withCredentials=True,
        isDefault=True,
        jsonData={"httpMethod": "POST"},
    )
    assert encode_body(create_body(desired)) == {
        "uid": "monitoring_prometheus",
        "name": "Prometheus",
        "type": "prometheus",
        "access": "direct",
        "url": "http://p:9090",
        "user": "u",
        "database": "d",
        "basicAuth": True,
        "basicAuthUser": "b",
        "withCredentials": True,
        "isDefault": True,
        "jsonData": {"httpMethod": "POST", **MARK},
        "secureJsonData": {"basicAuthPassword": "pass-word-1"},
    }


def test_what_a_spec_leaves_open_is_sent_empty_so_that_put_replaces_it() -> None:
    assert encode_body(create_body(desired_of())) == {
        "uid": "monitoring_prometheus",
        "name": "prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://prometheus:9090",
        "user": "",
        "database": "",
        "basicAuth": False,
        "basicAuthUser": "",
        "withCredentials": False,
        "isDefault": False,
        "jsonData": MARK,
    }


def test_nulls_of_the_spec_are_not_sent() -> None:
    desired = desired_of(jsonData={"a": None, "b": {"c": None, "d": [None, 1]}})
    assert create_body(desired).json_data == {"b": {"d": [None, 1]}, **MARK}


def test_an_update_carries_the_version_that_was_read_and_a_create_none() -> None:
    assert "version" not in encode_body(create_body(desired_of()))
    assert encode_body(update_body(desired_of(), state(version=12)))["version"] == 12


@pytest.mark.parametrize(
    ("said", "held", "sent"),
    [
        (None, True, True),
        (None, False, False),
        (True, False, True),
        (True, True, True),
        (False, True, False),
        (False, False, False),
    ],
)
def test_an_unset_default_stays_as_grafana_has_it(
    said: bool | None, held: bool, sent: bool
) -> None:
    spec: dict[str, Any] = {} if said is None else {"isDefault": said}
    assert update_body(desired_of(**spec), state(isDefault=held)).is_default is sent


def test_keys_that_grafana_wrote_itself_survive_an_update() -> None:
    written = {key: {"by": "grafana"} for key in KEPT_KEYS}
    body = update_body(
        desired_of(jsonData={"timeout": 30}), state(jsonData={**written, "handmade": 1, **MARK})
    )
    assert body.json_data == {"timeout": 30, **written, **MARK}


@pytest.mark.parametrize("key", sorted(KEPT_KEYS))
def test_a_spec_may_set_what_grafana_would_write(key: str) -> None:
    body = update_body(desired_of(jsonData={key: "mine"}), state(jsonData={key: "its", **MARK}))
    assert body.json_data[key] == "mine"


@pytest.mark.parametrize("key", sorted(KEPT_KEYS))
def test_null_in_the_spec_counts_as_absent_for_these_keys_too(key: str) -> None:
    body = update_body(desired_of(jsonData={key: None}), state(jsonData={key: "its", **MARK}))
    assert body.json_data[key] == "its"


def test_a_secret_key_that_left_the_spec_is_blanked() -> None:
    body = update_body(
        desired_of(_secrets(token="new-token-1")),
        state(secureJsonFields={"token": True, "old": True, "unset": False}),
    )
    assert encode_body(body)["secureJsonData"] == {"token": "new-token-1", "old": ""}


def test_an_optional_key_without_a_value_stays_as_grafana_has_it() -> None:
    secrets = ResolvedSecrets({}, kept=frozenset({"optional"}))
    held = state(secureJsonFields={"optional": True, "old": True})
    assert encode_body(update_body(desired_of(secrets), held))["secureJsonData"] == {"old": ""}


def test_nothing_is_blanked_while_an_optional_secret_of_unknown_keys_is_absent() -> None:
    secrets = ResolvedSecrets({"token": SecretStr("new-token-1")}, keeps_all=True)
    held = state(secureJsonFields={"any": True, "other": True})
    sent = encode_body(update_body(desired_of(secrets), held))["secureJsonData"]
    assert sent == {"token": "new-token-1"}


@given(desired_states(), grafana_states())
def test_an_update_leaves_exactly_the_secrets_that_the_spec_asks_for_or_keeps(
    desired: DesiredDataSource, held: DataSourceState
) -> None:
    model = GrafanaModel.holding(held)
    model.put(update_body(desired, held))
    secrets = desired.secrets
    kept = held.secret_keys if secrets.keeps_all else held.secret_keys & secrets.kept
    assert {key: value for key, value in model.secrets.items() if value} == {
        **dict.fromkeys(kept, "held before"),
        **{key: value.get_secret_value() for key, value in secrets.values.items()},
    }


# --- adopting -----------------------------------------------------------------------------------

_HELD_SECRETS = {"password": True, "token": True, "kept": True}
_PARTLY = ResolvedSecrets({"token": SecretStr("new-token-1")}, kept=frozenset({"kept"}))


def _blanked(body: DataSourceBody) -> set[str]:
    sent = encode_body(body).get("secureJsonData", {})
    return {key for key, value in sent.items() if value == ""}


@pytest.mark.parametrize(
    "moved",
    [
        {"url": "http://old-host:9090"},
        {"url": ""},
        {"url": "http://prometheus:9090/"},
        {"type": "loki"},
        {"access": "direct"},
    ],
)
@pytest.mark.parametrize("keeps_all", [False, True])
def test_what_is_adopted_and_moved_keeps_no_secret_of_unknown_origin(
    moved: dict[str, str], keeps_all: bool
) -> None:
    desired = desired_of(replace(_PARTLY, keeps_all=keeps_all))
    held = state(**moved, secureJsonFields=_HELD_SECRETS)
    body = update_body(desired, held, adopting=True)
    assert _blanked(body) == {"password", "kept"}
    assert encode_body(body)["secureJsonData"]["token"] == "new-token-1"
    # What is ours already may move: its secrets came from the spec.
    assert _blanked(update_body(desired, held)) == (set() if keeps_all else {"password"})


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ({}, {"name": "Other", "database": "old", "isDefault": True, "jsonData": {"a": 1}}),
        ({"type": "postgres"}, {"type": "grafana-postgresql-datasource"}),
        ({"type": "grafana-testdata-datasource"}, {"type": "testdata"}),
        ({"ignoreFields": ["/url"]}, {"url": "http://old-host:9090"}),
        ({"ignoreFields": ["/access"]}, {"access": "direct"}),
    ],
)
def test_what_is_adopted_where_it_stands_keeps_its_secrets_as_in_any_update(
    said: dict[str, Any], held: dict[str, Any]
) -> None:
    desired = replace(desired_of(**said), secrets=_PARTLY)
    actual = state(**held, secureJsonFields=_HELD_SECRETS)
    assert update_body(desired, actual, adopting=True) == update_body(desired, actual)
    assert _blanked(update_body(desired, actual, adopting=True)) == {"password"}


@given(desired_states(), grafana_states())
def test_no_secret_survives_an_adoption_that_leads_to_another_host(
    desired: DesiredDataSource, held: DataSourceState
) -> None:
    assume("/url" not in desired.ignored and desired.url != held.url)
    model = GrafanaModel.holding(held)
    model.put(update_body(desired, held, adopting=True))
    assert {key: value for key, value in model.secrets.items() if value} == {
        key: value.get_secret_value() for key, value in desired.secrets.values.items()
    }


# --- letting go ---------------------------------------------------------------------------------


@given(grafana_states())
def test_letting_go_takes_the_mark_away_and_nothing_else(held: DataSourceState) -> None:
    model = GrafanaModel.holding(held)
    after = model.put(orphan_body(held))
    json_data = {k: v for k, v in (held.json_data or {}).items() if k != OWNER_KEY}
    assert after == held.model_copy(update={"json_data": json_data, "version": held.version + 1})
    assert model.secrets == dict.fromkeys(held.secret_keys, "held before")


_SETTERS = [
    *("/url", "/user", "/database", "/basicAuthUser", "/name"),
    *("/jsonData/a", "/jsonData/b/c", "/jsonData/pdcInjected"),
]


@pytest.mark.parametrize("path", _SETTERS)
def test_a_body_says_which_of_its_values_are_not_to_be_shown_and_shows_none(path: str) -> None:
    inputs = Inputs({"s": secret("s", data={"k": "secret-value-1"})})
    desired = desired_of(inputs=inputs, valuesFrom=[value_from(path, secret_key("s", "k"))])
    bodies = [
        create_body(desired),
        update_body(desired, state()),
        update_body(desired, state(), adopting=True),
    ]
    for body in bodies:
        assert find(encode_body(body), parse_pointer(path)) == "secret-value-1"
        assert [value.get_secret_value() for value in body.hidden] == ["secret-value-1"]
        held = DataSourceState.model_validate({**encode_body(body), "id": 7})
        assert "secret-value-1" not in f"{desired!r}{desired}{body!r}{body}{held!r}{held}"
    assert "hidden" not in encode_body(bodies[0])


def test_a_body_of_open_values_has_nothing_to_hide() -> None:
    assert create_body(desired_of()).hidden == ()


# --- a name on the way --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parked"),
    [
        ("Prometheus", "Prometheus (gdso 4a49acf8)"),
        ("n" * 175, "n" * 174 + " (gdso 4a49acf8)"),
        ("é" * 100, "é" * 87 + " (gdso 4a49acf8)"),
        ("n" + "é" * 100, "n" + "é" * 86 + " (gdso 4a49acf8)"),
    ],
)
def test_a_parked_name_says_whose_it_is_and_fits_grafana_s_column(name: str, parked: str) -> None:
    assert parked_name(name, "uid-1") == parked
    assert len(parked.encode()) <= 190


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=190), uids, uids)
def test_parked_names_are_as_different_as_uids(name: str, one: str, other: str) -> None:
    parked = parked_name(name, one)
    assert len(parked.encode()) <= 190
    assert name.startswith(parked.rpartition(" (gdso ")[0])
    assert (parked == parked_name(name, other)) is (one == other)
    assert parked != name


# --- never shown --------------------------------------------------------------------------------


def test_no_text_of_a_body_shows_a_secret() -> None:
    secrets = _secrets(token="secret-value-1")
    desired = desired_of(secrets)
    bodies = [create_body(desired), update_body(desired, state())]
    for shown in [secrets, desired, *bodies]:
        assert "secret-value-1" not in f"{shown}{shown!r}"


def test_the_mark_is_of_the_resource_that_asks() -> None:
    assert desired_of().json_data[OWNER_KEY] == "owner-1/monitoring/prometheus"
    assert resource().spec.json_data is None
