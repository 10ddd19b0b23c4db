"""Whatever stalls a resource, it goes on by itself when its cause goes: nobody touches it."""

import secrets
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import StartGrafana
from tests.integration.patched_operator import with_constants
from tests.integration.places import OWNER_KEY, Place, make_place, open_places
from tests.integration.sandbox import INSTANCE, Json, Sandbox
from tests.kstatus import find_condition
from tests.servers.faults import requests_of
from tests.servers.grafana import Grafana, GrafanaServer
from tests.servers.grafana_doubles import GrafanaDoubleServer
from tests.servers.kubernetes import KubernetesServer

IF_UNOWNED = {"adoptionPolicy": "IfUnowned"}


@pytest.fixture(scope="module", name="places")
def eager_places(
    kubernetes_with_crds: KubernetesServer,
    grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sandbox]:
    """An operator that looks each second, instead of each minute, at what others may resolve."""
    directory = tmp_path_factory.mktemp("eager")
    eager = with_constants(directory / "eager", "errors", {"STALLED_RECHECK_SECONDS": 1.0})
    with open_places(kubernetes_with_crds, grafana, directory, namespaces=2, **eager) as sandbox:
        yield sandbox


@pytest.fixture
def place(places: Sandbox, grafana: Grafana) -> Iterator[Place]:
    yield make_place(places, grafana)
    places.check_everywhere()


def goes_on(
    place: Place, name: str, reason: str, mend: Callable[[], object], namespace: str | None = None
) -> None:
    """It is stalled; `mend` does not touch it; it is in sync."""
    users = place.sandbox
    stalled = users.wait_for_reason(name, reason, namespace=namespace)
    assert find_condition(stalled, "Stalled") is not None
    mend()
    ready = users.wait_ready(name, namespace=namespace)
    assert find_condition(ready, "Stalled") is None
    assert ready["metadata"]["generation"] == stalled["metadata"]["generation"]
    assert ready["metadata"].get("annotations") == stalled["metadata"].get("annotations")


def resource_in(place: Place) -> str:
    return f"stalls-{place.instance}"


# --- resolved in Grafana


def test_uid_conflict_when_the_other_one_is_removed(place: Place) -> None:
    name = resource_in(place)
    place.target.make_by_hand("wanted")
    place.apply(name, uid="wanted")
    goes_on(place, name, "UidConflict", lambda: place.target.delete_by_hand("wanted"))
    assert place.target.held("wanted")["name"] == name


def test_ownership_conflict_when_the_other_one_s_mark_is_removed(place: Place) -> None:
    name = resource_in(place)
    place.target.make_by_hand("wanted", jsonData={OWNER_KEY: "terraform"})
    place.apply(name, uid="wanted", **IF_UNOWNED)
    goes_on(place, name, "OwnershipConflict", lambda: place.target.edit("wanted", jsonData={}))


@pytest.mark.parametrize("held", [False, True], ids=["created", "renamed"])
def test_name_conflict_when_the_other_one_is_renamed(place: Place, held: bool) -> None:
    name = resource_in(place)
    place.target.make_by_hand("theirs", name="Wanted")
    if held:
        place.apply(name)
        place.sandbox.wait_ready(name)
    place.apply(name, name="Wanted")
    goes_on(place, name, "NameConflict", lambda: place.target.edit("theirs", name="Free"))
    assert place.held(name)["name"] == "Wanted"


def test_default_conflict_when_the_other_one_is_the_default_no_more(place: Place) -> None:
    name = resource_in(place)
    place.target.make_by_hand("theirs", isDefault=True, jsonData={OWNER_KEY: "terraform"})
    place.apply(name, isDefault=True)
    goes_on(place, name, "DefaultConflict", lambda: place.target.edit("theirs", isDefault=False))
    assert place.held(name)["isDefault"] is True


def test_read_only_when_the_file_lets_go(place: Place) -> None:
    name, server = resource_in(place), place.target.server
    if not isinstance(server, GrafanaServer | GrafanaDoubleServer):
        pytest.skip("needs a Grafana whose files it may write, and an existing one was given")

    def provision(more: str = "") -> None:
        entry = f"uid: from-file, name: {name}, type: loki, orgId: {place.target.org_id}{more}"
        server.provision_datasources(f"apiVersion: 1\ndatasources:\n  - {{{entry}}}\n")
        server.reload_datasources()

    try:
        provision()
        place.apply(name, uid="from-file", **IF_UNOWNED)
        goes_on(place, name, "ReadOnlyInGrafana", lambda: provision(", editable: true"))
    finally:
        server.provision_datasources("apiVersion: 1\n")


def test_quota_reached_when_there_is_room(places: Sandbox, fresh_grafana: StartGrafana) -> None:
    settings = {"quota": {"enabled": "true", "org_data_source": "1"}}
    place = make_place(places, fresh_grafana(settings=settings))
    name = resource_in(place)
    place.target.make_by_hand("theirs")
    place.apply(name)
    goes_on(place, name, "QuotaReached", lambda: place.target.delete_by_hand("theirs"))


def test_rejected_when_grafana_takes_it(place: Place) -> None:
    name = resource_in(place)
    fault = place.target.proxy.answer(
        400,
        {"Content-Type": "application/json"},
        b'{"message": "the plugin that validates this is being replaced"}',
        matching=requests_of("POST", "/api/datasources"),
    )
    place.apply(name)
    goes_on(place, name, "GrafanaRejected", lambda: place.target.proxy.remove(fault))


def test_drift_when_it_is_changed_back(place: Place) -> None:
    name = resource_in(place)
    place.apply(name, driftPolicy="Report", resyncInterval="1s")
    place.sandbox.wait_ready(name)
    uid = place.sandbox.uid(name)
    url = place.held(name)["url"]
    place.target.edit(uid, url="http://by-hand:1")
    goes_on(place, name, "DriftDetected", lambda: place.target.edit(uid, url=url))


# --- resolved in Kubernetes


def test_invalid_spec_when_what_it_refers_to_is_mended(place: Place) -> None:
    name, users = resource_in(place), place.sandbox
    users.apply_config_map(name, {"name": "n" * 200})
    source = {"configMapKeyRef": {"name": name, "key": "name"}}
    place.apply(name, valuesFrom=[{"path": "/name", "valueFrom": source}])
    goes_on(
        place, name, "InvalidSpec", lambda: users.apply_config_map(name, {"name": f"good {name}"})
    )


def test_uid_conflict_when_the_instance_lets_it_adopt(places: Sandbox, grafana: Grafana) -> None:
    place = make_place(places, grafana, allowedAdopters={"from": "None"})
    name = resource_in(place)
    place.target.make_by_hand("wanted")
    place.apply(name, uid="wanted", **IF_UNOWNED)
    adopters = {"spec": {"allowedAdopters": {"from": "Same"}}}
    goes_on(
        place,
        name,
        "UidConflict",
        lambda: places.patch(place.instance, adopters, kind=INSTANCE),
    )


@pytest.mark.parametrize("by", ["instance", "label"])
def test_instance_not_allowed_when_it_is(places: Sandbox, grafana: Grafana, by: str) -> None:
    other, label = places.namespaces[1], f"label-{secrets.token_hex(4)}"
    selected: Json = {"from": "Selector", "selector": {"matchLabels": {label: "yes"}}}
    place = make_place(places, grafana, allowedNamespaces=selected)
    name = resource_in(place)
    place.apply(name, namespace=other)

    def admit() -> None:
        if by == "label":
            places.label_namespace(other, {label: "yes"})
        else:
            everybody = {"spec": {"allowedNamespaces": {"from": "All", "selector": None}}}
            places.patch(place.instance, everybody, kind=INSTANCE)

    goes_on(place, name, "InstanceNotAllowed", admit, namespace=other)
