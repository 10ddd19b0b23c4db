"""Who refers to what, and what several contend for."""

from typing import Any

import pytest

from grafana_datasource_operator.api.names import FROM_SETTINGS, INSTANCE, InstanceKey, ObjectKey
from grafana_datasource_operator.engine.view import Reference, View
from grafana_datasource_operator.relations import ANY, Relations, ViewPeers
from tests.unit.builders import (
    SPEC,
    config_map_key,
    data_source_ref,
    raw_resource,
    secret_key,
    value_from,
)

Json = dict[str, Any]

KIND = "GrafanaDataSource"
MAIN = InstanceKey("grafana", "main")
UID = Reference("uid", "", "team_prometheus", is_contested=True)
NAME = Reference("name", "", "prometheus", is_contested=True)
DEFAULT = Reference("default", "", "", is_contested=True)


def _references(default: InstanceKey | None = None, **spec: Any) -> set[Reference]:
    raw = raw_resource(spec={**SPEC, **spec}, namespace="team")
    return set(Relations(default).references_of(raw))


def _uncontested(references: set[Reference]) -> set[Reference]:
    return {one for one in references if not one.is_contested}


# --- of a data source ---------------------------------------------------------------------------


def test_a_resource_refers_to_the_secrets_of_its_own_namespace() -> None:
    assert _references(
        secureJsonData={"a": secret_key("one", "k")},
        secureJsonDataFrom=[{"secretRef": {"name": "two"}}],
        valuesFrom=[value_from("/url", secret_key("three", "k"))],
    ) == {
        UID,
        NAME,
        Reference("Secret", "team", "one"),
        Reference("Secret", "team", "two"),
        Reference("Secret", "team", "three"),
    }


def test_a_resource_refers_to_config_maps_and_other_data_sources_of_its_own_namespace() -> None:
    assert _references(
        valuesFrom=[value_from("/url", config_map_key("urls", "k"))],
        jsonData={"tracesToLogs": {"datasourceUid": data_source_ref("loki")}},
    ) == {
        UID,
        NAME,
        Reference("ConfigMap", "team", "urls"),
        Reference(KIND, "team", "loki"),
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, Reference(INSTANCE.kind, *MAIN)),
        ({"instanceRef": {"name": "own"}}, Reference(INSTANCE.kind, "team", "own")),
        (
            {"instanceRef": {"name": "own", "namespace": "far"}},
            Reference(INSTANCE.kind, "far", "own"),
        ),
        (
            {"instanceSelector": {"matchLabels": {"tier": "prod"}}},
            Reference(INSTANCE.kind, "team", ANY),
        ),
        (
            {"instanceSelector": {"matchLabels": {"tier": "prod"}, "namespace": "far"}},
            Reference(INSTANCE.kind, "far", ANY),
        ),
    ],
)
def test_a_resource_refers_to_where_it_is_to_live(spec: Json, expected: Reference) -> None:
    assert _uncontested(_references(MAIN, **spec)) == {expected}


def test_without_a_default_a_resource_that_names_none_refers_to_none() -> None:
    assert _references() == {UID, NAME}


def test_a_resource_refers_to_where_it_lived_too() -> None:
    status = {"instances": [{"namespace": "far", "name": "old"}, {"namespace": "-", "name": "d"}]}
    raw = raw_resource(spec={**SPEC, "instanceRef": {"name": "new"}}, status=status)
    found = _uncontested(set(Relations(MAIN).references_of(raw)))
    assert {one[1:3] for one in found} == {("monitoring", "new"), ("far", "old"), ("-", "d")}


def test_a_resource_contends_for_its_uid_its_name_and_the_default() -> None:
    assert _references(isDefault=True, uid="mine", name="Mine") == {
        Reference("uid", "", "mine", is_contested=True),
        Reference("name", "", "Mine", is_contested=True),
        DEFAULT,
    }
    assert _references(isDefault=False) == {UID, NAME}


def test_a_name_from_elsewhere_is_not_known_and_not_contended_for() -> None:
    found = _references(valuesFrom=[value_from("/name", config_map_key("names", "k"))])
    assert {one.kind for one in found} == {"ConfigMap", "uid"}


def test_who_leaves_an_instance_gives_up_there_what_it_keeps_elsewhere() -> None:
    status = {"instances": [{"namespace": "far", "name": "old"}]}
    spec = {**SPEC, "isDefault": True, "instanceRef": {"name": "new"}}
    before = set(Relations(None).references_of(raw_resource(spec=spec, status=status)))
    after = set(Relations(None).references_of(raw_resource(spec=spec)))
    given_up = {one for one in before - after if one.is_contested}
    assert given_up == {
        Reference("uid", "far/old", "monitoring_prometheus", is_contested=True),
        Reference("name", "far/old", "prometheus", is_contested=True),
        Reference("default", "far/old", "", is_contested=True),
    }


@pytest.mark.parametrize("spec", [{}, {"type": 7}, {**SPEC, "access": "server"}])
def test_a_spec_that_cannot_be_read_refers_to_nothing(spec: Json) -> None:
    assert Relations(MAIN).references_of(raw_resource(spec=spec)) == []


# --- of an instance -----------------------------------------------------------------------------


def test_an_instance_refers_to_all_that_its_connection_is_made_of() -> None:
    spec = {
        "url": "https://grafana.example",
        "auth": {"tokenSecretRef": {"name": "token"}},
        "tls": {
            "caConfigMapRef": {"name": "ca"},
            "clientCertSecretRef": {"name": "cert"},
        },
        "headers": {
            "X-A": {"secretKeyRef": {"name": "header", "key": "k"}},
            "X-B": {"value": "plain"},
        },
    }
    raw = raw_resource(kind=INSTANCE.kind, spec=spec, namespace="team")
    assert set(Relations(MAIN).references_of(raw)) == {
        Reference("Secret", "team", "token"),
        Reference("Secret", "team", "cert"),
        Reference("Secret", "team", "header"),
        Reference("ConfigMap", "team", "ca"),
    }


def test_an_instance_with_another_kind_of_credentials_and_ca_refers_to_those() -> None:
    spec = {
        "url": "https://grafana.example",
        "auth": {"basicAuthSecretRef": {"name": "admin"}},
        "tls": {"caSecretRef": {"name": "ca"}},
    }
    raw = raw_resource(kind=INSTANCE.kind, spec=spec, namespace="team")
    assert set(Relations(None).references_of(raw)) == {
        Reference("Secret", "team", "admin"),
        Reference("Secret", "team", "ca"),
    }


@pytest.mark.parametrize("spec", [{}, {"url": "ftp://x", "auth": {}}])
def test_an_instance_that_cannot_be_read_refers_to_nothing(spec: Json) -> None:
    raw = raw_resource(kind=INSTANCE.kind, spec=spec)
    assert Relations(MAIN).references_of(raw) == []


# --- lanes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "lane"),
    [
        ({}, FROM_SETTINGS),
        ({"instanceRef": {"name": "own"}}, InstanceKey("team", "own")),
        ({"instanceRef": {"name": "own", "namespace": "far"}}, InstanceKey("far", "own")),
        ({"instanceSelector": {"matchLabels": {"a": "b"}}}, InstanceKey("team", ANY)),
        (
            {"instanceSelector": {"matchLabels": {"a": "b"}, "namespace": "far"}},
            InstanceKey("far", ANY),
        ),
    ],
)
def test_a_look_may_be_held_up_by_its_instance_alone(spec: Json, lane: InstanceKey) -> None:
    raw = raw_resource(spec={**SPEC, **spec}, namespace="team")
    assert Relations(FROM_SETTINGS).lane_of(raw) == lane


def test_instances_have_a_lane_of_their_own() -> None:
    lane = Relations(FROM_SETTINGS).lane_of(raw_resource(kind=INSTANCE.kind, spec={}))
    assert lane not in (FROM_SETTINGS, None)


# --- peers --------------------------------------------------------------------------------------


def _peers(*raws: Json, namespaces: tuple[str, ...] = ()) -> ViewPeers:
    view = View(Relations(MAIN).references_of)
    for raw in raws:
        view.put(raw)
    return ViewPeers(view, namespaces)


def test_what_is_not_there_does_not_exist_unless_it_is_out_of_sight() -> None:
    there = raw_resource(name="loki")
    everywhere, here = _peers(there), _peers(there, namespaces=("monitoring",))
    assert everywhere.may_exist("monitoring", "loki")
    assert not everywhere.may_exist("monitoring", "gone")
    assert not everywhere.may_exist("elsewhere", "gone")
    assert not here.may_exist("monitoring", "gone")
    assert here.may_exist("elsewhere", "gone")


def test_a_peer_is_found_by_its_name_if_it_can_be_read() -> None:
    peers = _peers(raw_resource(name="loki"), raw_resource(name="odd", spec={"type": 7}))
    found = peers.find("monitoring", "loki")
    assert found is not None
    assert found.metadata.name == "loki"
    assert peers.find("monitoring", "odd") is None
    assert peers.find("monitoring", "gone") is None


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ({}, True),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
        ({"spec": {**SPEC, "uid": "u", "isDefault": True, "suspend": True}}, False),
        ({"spec": {**SPEC, "uid": "other", "isDefault": False}}, False),
    ],
)
def test_only_active_resources_contend(changed: Json, counts: bool) -> None:
    raw = raw_resource(**{"spec": {**SPEC, "uid": "u", "isDefault": True}, **changed})
    peers = _peers(raw)
    names = ["prometheus"] if counts else []
    assert [one.metadata.name for one in peers.with_uid("u")] == names
    if "spec" not in changed or changed["spec"]["uid"] == "u":
        assert [one.metadata.name for one in peers.with_name("prometheus")] == names
    assert [one.metadata.name for one in peers.wanting_default()] == names


def test_users_of_an_instance_are_those_that_it_may_hold_something_of() -> None:
    finalizers = ["gdso.dev/finalizer"]
    recorded = {"instances": [{"namespace": "grafana", "name": "main"}]}
    elsewhere = {**SPEC, "instanceRef": {"name": "other"}}
    peers = _peers(
        raw_resource(name="there", finalizers=finalizers),
        raw_resource(name="not-yet"),
        raw_resource(name="moved", spec=elsewhere, status=recorded, finalizers=finalizers),
        raw_resource(name="elsewhere", spec=elsewhere, finalizers=finalizers),
    )
    assert peers.users_of(MAIN) == [
        ObjectKey(KIND, "monitoring", "moved"),
        ObjectKey(KIND, "monitoring", "there"),
    ]
