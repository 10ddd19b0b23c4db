"""Whatever happens, and in whatever order: in the end Grafana holds what the resources say."""

import asyncio
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from grafana_datasource_operator.api.datasource import DataSource, parse_data_source
from grafana_datasource_operator.api.names import INSTANCE
from grafana_datasource_operator.grafana.client import encode_body
from grafana_datasource_operator.payload.datasource import build_desired, create_body, uid_of
from grafana_datasource_operator.payload.identity import Owner
from grafana_datasource_operator.payload.inputs import Inputs
from tests.unit.builders import data_source_ref, secret, secret_key
from tests.unit.grafana.wire import answer
from tests.unit.simulation import (
    NAMESPACE,
    OWNER_ID,
    RESYNC_SECONDS,
    Grafana,
    Operator,
    an_operator,
    url_of,
)
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]
Step = tuple[Any, ...]

READY = ("True", "Synced")
RESOURCES = ("p", "q", "r")
INSTANCES = ("a", "b")
PLACES: dict[str, Json] = {
    "default": {},
    "a": {"instanceRef": {"name": "a"}},
    "b": {"instanceRef": {"name": "b"}},
    "prod": {"instanceSelector": {"matchLabels": {"tier": "prod"}}},
}
_GRAFANAS = ("default", *INSTANCES)

_resources, _instances = st.sampled_from(RESOURCES), st.sampled_from(INSTANCES)
_specs = st.fixed_dictionaries(
    {
        "place": st.sampled_from(sorted(PLACES)),
        "url": st.sampled_from(["http://one:9090", "http://two:9090"]),
    },
    optional={
        "name": st.sampled_from(["name 1", "name 2", "name 3"]),
        "isDefault": st.booleans(),
        "linksTo": _resources,
        "takesSecret": st.just(True),
        "driftPolicy": st.just("Report"),
        "suspend": st.just(True),
    },
)
_steps = st.one_of(
    st.tuples(st.just("apply"), _resources, _specs),
    st.tuples(st.just("apply"), _resources, _specs),
    st.tuples(st.just("delete"), _resources),
    st.tuples(st.just("secret"), st.sampled_from(["value-1", "value-2", ""])),
    st.tuples(st.just("delete secret")),
    st.tuples(
        st.just("edit by hand"),
        st.sampled_from(_GRAFANAS),
        _resources,
        st.sampled_from(["name", "url", "jsonData", "isDefault"]),
    ),
    st.tuples(st.just("remove by hand"), st.sampled_from(_GRAFANAS), _resources),
    st.tuples(st.just("outage"), st.sampled_from(_GRAFANAS), st.booleans()),
    st.tuples(st.just("lose answers"), st.sampled_from(_GRAFANAS), st.integers(1, 3)),
    st.tuples(st.just("fail writes"), st.sampled_from(_GRAFANAS), st.integers(1, 3)),
    st.tuples(st.just("suspend"), _instances, st.booleans()),
    st.tuples(st.just("relabel"), _instances, st.sampled_from(["prod", "dev"])),
    st.tuples(st.just("rotate"), _instances, st.integers(1, 3)),
    st.tuples(st.just("delete instance"), _instances),
    st.tuples(st.just("restart")),
    st.tuples(st.just("wait"), st.sampled_from([0.001, 0.01, 0.05, 0.5, 1.2, 30.0, 700.0])),
)


@st.composite
def _endings(draw: st.DrawFn) -> dict[str, Json]:
    """Specs that can all come true: each its own name, and one default at most."""
    names = draw(st.permutations(["name 1", "name 2", "name 3"]))
    default = draw(st.none() | _resources)
    endings = {}
    for resource, name in zip(RESOURCES, names, strict=True):
        spec = draw(_specs) | {"name": name}
        for key in ("isDefault", "driftPolicy", "suspend"):
            spec.pop(key, None)
        endings[resource] = spec | ({"isDefault": True} if resource == default else {})
    return endings


@settings(max_examples=200)
@given(st.lists(_steps, max_size=20), _endings())
def test_after_any_story_grafana_holds_the_translation_and_nothing_is_written_any_more(
    steps: list[Step], endings: dict[str, Json]
) -> None:
    _live_through(steps, endings)


@in_virtual_time
async def _live_through(steps: list[Step], endings: dict[str, Json]) -> None:
    async with an_operator() as operator:
        for name in INSTANCES:
            operator.add_grafana(name, labels={"tier": "prod"})
        for step in steps:
            await _take(operator, step)
        await _settle(operator)
        for resource, spec in endings.items():
            _apply(operator, resource, spec)
        await asyncio.sleep(RESYNC_SECONDS)
        _check(operator)
        before = _writes(operator)
        await asyncio.sleep(2 * RESYNC_SECONDS + 10)
        assert _writes(operator) == before
        for resource in RESOURCES:
            operator.kubernetes.delete(resource)
        await asyncio.sleep(30)
        assert operator.kubernetes.objects == {}
        assert [grafana.held for grafana in operator.grafanas.values()] == [{}] * 3


def _apply(operator: Operator, resource: str, spec: Json) -> None:
    rest = dict(spec)
    place = PLACES[rest.pop("place")]
    if (link := rest.pop("linksTo", None)) is not None:
        rest["jsonData"] = {"httpMethod": "POST", "link": data_source_ref(link)}
    if rest.pop("takesSecret", False):
        rest["secureJsonData"] = {"token": secret_key("auth", "token")}
    operator.kubernetes.apply(resource, **{"name": resource, **rest, **place})


def _bad_gateway() -> httpx.Response:
    return answer(502, {"message": "nobody there"})


async def _take(operator: Operator, step: Step) -> None:
    match step:
        case ("apply", resource, spec):
            _apply(operator, resource, spec)
        case ("delete", resource):
            if resource in operator.kubernetes.objects:
                operator.kubernetes.delete(resource)
        case ("secret", value):
            operator.write_secret("auth", token=value)
        case ("delete secret",):
            operator.delete_secret("auth")
        case ("restart",):
            await operator.restart()
        case ("wait", seconds):
            await asyncio.sleep(seconds)
        case ("suspend" | "relabel" | "rotate" | "delete instance", name, *_):
            _change_instance(operator, name, step)
        case (_, name, *_):
            _disturb(operator.grafanas[url_of(name)], step)


def _change_instance(operator: Operator, name: str, step: Step) -> None:
    present = operator.kubernetes.instances.get(name)
    match step:
        case ("suspend", _, suspended):
            operator.kubernetes.apply_instance(name, suspend=suspended)
        case ("relabel", _, tier):
            suspended = bool(present and present["spec"].get("suspend"))
            operator.kubernetes.apply_instance(name, labels={"tier": tier}, suspend=suspended)
        case ("rotate", _, number):
            token = f"glsa_{name}_{number}"
            operator.grafanas[url_of(name)].token = token
            operator.write_secret(f"{name}-token", token=token)
        case ("delete instance", _) if present is not None:
            operator.kubernetes.delete(name, kind=INSTANCE)


def _disturb(grafana: Grafana, step: Step) -> None:
    match step:
        case ("edit by hand", _, resource, field) if (uid := _uid(resource)) in grafana.held:
            values: Json = {
                "name": f"by hand {resource}",
                "url": "http://by-hand",
                "jsonData": {"a": 1},
                "isDefault": False,
            }
            grafana.edit(uid, **{field: values[field]})
        case ("remove by hand", _, resource):
            grafana.remove(_uid(resource))
        case ("outage", _, begins):
            grafana.failing = _bad_gateway if begins else None
        case ("lose answers", _, number):
            grafana.lost_answers = number
        case ("fail writes", _, number):
            grafana.faults = number


def _uid(resource: str) -> str:
    return f"{NAMESPACE}_{resource}"


async def _settle(operator: Operator) -> None:
    """Troubles end, what is being deleted goes, and all that is missing is there again."""
    for grafana in operator.grafanas.values():
        grafana.failing, grafana.lost_answers, grafana.faults = None, 0, 0
    for name in INSTANCES:
        operator.kubernetes.apply_instance(name, labels={"tier": "prod"}, suspend=False)
    operator.write_secret("auth", token="last-value")
    await asyncio.sleep(120)
    for _ in range(2):
        for resource in RESOURCES:
            _apply(operator, resource, {"place": "default"})
        # Names of others may have been in the way for a minute.
        await asyncio.sleep(120)
    for name in INSTANCES:
        operator.add_grafana(name, labels={"tier": "prod"}, suspend=False)
    await asyncio.sleep(10)


def _writes(operator: Operator) -> list[int]:
    grafanas = [grafana.writes for grafana in operator.grafanas.values()]
    return [len(operator.kubernetes.writes), *grafanas]


def _check(operator: Operator) -> None:
    expected: dict[str, dict[str, DataSource]] = {name: {} for name in _GRAFANAS}
    for raw in operator.kubernetes.objects.values():
        resource = parse_data_source(raw)
        for name in _targets(resource):
            expected[name][uid_of(resource)] = resource
    for name, resources in expected.items():
        grafana = operator.grafanas[url_of(name)]
        assert grafana.held.keys() == resources.keys(), name
        for resource in resources.values():
            _check_one(grafana, resource)
    for name in RESOURCES:
        assert operator.ready(name) == READY


def _targets(resource: DataSource) -> list[str]:
    if resource.spec.instance_selector is not None:
        return list(INSTANCES)
    reference = resource.spec.instance_ref
    return [reference.name if reference else "default"]


def _check_one(grafana: Grafana, resource: DataSource) -> None:
    """By the pure translation, which is tested by itself."""
    inputs = Inputs(
        secrets={"auth": secret("auth", data={"token": "last-value"})},
        uids={name: _uid(name) for name in RESOURCES},
    )
    name = resource.metadata.name
    desired = build_desired(resource, inputs, Owner(OWNER_ID, NAMESPACE, name))
    sent = encode_body(create_body(desired))
    secrets = sent.pop("secureJsonData", {})
    if desired.is_default is None:
        del sent["isDefault"]
    uid = uid_of(resource)
    assert {key: grafana.held[uid][key] for key in sent} == sent
    assert {key: value for key, value in grafana.secrets[uid].items() if value} == secrets
