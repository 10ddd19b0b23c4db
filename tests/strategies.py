"""Hypothesis strategies: GrafanaDataSource as the apiserver admits it, and what Grafana may hold.

Every new field of the spec is added to `specs`, so that the property tests see it.
"""

from typing import Any

from hypothesis import strategies as st

from grafana_datasource_operator.api.config_map import ConfigMapContent
from grafana_datasource_operator.api.datasource import (
    DataSource,
    DataSourceSpec,
    parse_data_source,
)
from grafana_datasource_operator.api.grafana_json import DataSourceState
from grafana_datasource_operator.api.names import API_VERSION, DATA_SOURCE, OWNER_KEY
from grafana_datasource_operator.payload.datasource import DesiredDataSource, build_desired
from grafana_datasource_operator.payload.identity import Owner
from grafana_datasource_operator.payload.ignored import FIELDS, KEPT_KEYS
from grafana_datasource_operator.payload.inputs import Inputs, needs_of
from grafana_datasource_operator.payload.references import KEY
from grafana_datasource_operator.payload.rules import URL_REQUIRED
from tests.unit.builders import secret

Json = dict[str, Any]

OWNER_ID = "5c121ff9-owner"

_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_FEW = st.sampled_from(["password", "token", "httpHeaderValue1", "tlsCACert", "sigV4Key"])


def _label(most: int) -> st.SearchStrategy[str]:
    """A DNS label; built from texts, which hypothesis makes faster than matches of a pattern."""
    return st.text(_LOWER + "-", min_size=1, max_size=most).map(
        lambda text: f"a{text[1:-1]}z" if len(text) > 1 else "a"
    )


namespaces = _label(63)
names = st.lists(_label(30), min_size=1, max_size=3).map(".".join)
secret_names = st.text(_LOWER, min_size=1, max_size=8)
secret_keys = _FEW | st.text(_LOWER + "-._ABC", min_size=1, max_size=12)
uids = st.text(_LOWER + "-_ABC", min_size=1, max_size=40)
plugin_types = (
    st.sampled_from(sorted(URL_REQUIRED))
    | st.sampled_from(["cloudwatch", "testdata", "grafana-testdata-datasource", "phlare"])
    | st.text(_LOWER + "-_.", max_size=20).map("x".__add__)
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
short_texts = st.just("") | texts
urls = st.text(_LOWER + ":/", max_size=12).map("http://back-end".__add__)
values = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)

# Hypothesis also draws texts that the code mentions.
_keys = texts.filter(lambda key: key not in {OWNER_KEY, KEY, "fedMap"})

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=6,
)
"""Free-form JSON that neither the apiserver nor Grafana changes."""

_KEYS = ["httpMethod", "timeout", "a/b", "m~n", "links", "deep", *sorted(KEPT_KEYS)]

json_data = st.dictionaries(st.sampled_from(_KEYS) | _keys, json_values, max_size=4)
"""What a Grafana may hold."""

_references = names.map(lambda name: {"dataSourceRef": {"name": name}})
_links = st.fixed_dictionaries(
    {},
    optional={
        "tracesToLogs": st.fixed_dictionaries({"datasourceUid": _references}),
        "links": st.lists(_references | st.fixed_dictionaries({"uid": _references}), max_size=2),
    },
)
linked_json_data = st.builds(lambda plain, links: {**plain, **links}, json_data, _links)
"""What a spec may say."""

secret_key_refs = st.fixed_dictionaries(
    {"name": secret_names, "key": secret_keys}, optional={"optional": st.booleans()}
)


_FED = ["/url", "/user", "/database", "/basicAuthUser", "/name"]
_FED += ["/jsonData/fed", "/jsonData/httpMethod", "/jsonData/a~1b", "/jsonData/fedMap/deep/er"]

_IGNORED = [*FIELDS, "/jsonData/httpMethod", "/jsonData/fed", "/jsonData/a~1b", "/jsonData/m~0n/x"]
_IGNORED += ["/jsonData/links/0", "/jsonData/links", "/jsonData/deep/er", "/jsonData/pdcInjected"]


@st.composite
def _values_from(draw: st.DrawFn) -> list[Json]:
    entries = []
    for path in draw(st.lists(st.sampled_from(_FED), unique=True, max_size=3)):
        kind = draw(st.sampled_from(["secretKeyRef", "configMapKeyRef"]))
        ref = {"name": draw(secret_names), "key": path.rpartition("/")[2].replace("~1", "_")}
        optional = draw(st.fixed_dictionaries({}, optional={"optional": st.booleans()}))
        entries.append({"path": path, "valueFrom": {kind: {**ref, **optional}}})
    return entries


def _as_admitted(spec: Json) -> Json:
    """What the schema and the rules demand between fields."""
    if "instanceRef" in spec:
        spec.pop("instanceSelector", None)
    if spec["type"] in URL_REQUIRED and not spec.get("url", "").strip():
        spec["url"] = "http://back-end:9090"
    return spec


specs = st.fixed_dictionaries(
    {"type": plugin_types},
    optional={
        "uid": uids,
        "name": st.text(min_size=1, max_size=20),
        "access": st.sampled_from(["proxy", "direct"]),
        "url": st.just("") | urls,
        "user": short_texts,
        "database": short_texts,
        "basicAuth": st.booleans(),
        "basicAuthUser": short_texts,
        "withCredentials": st.booleans(),
        "isDefault": st.booleans(),
        "jsonData": linked_json_data,
        "secureJsonData": st.dictionaries(
            secret_keys, st.fixed_dictionaries({"secretKeyRef": secret_key_refs}), max_size=3
        ),
        "secureJsonDataFrom": st.lists(
            st.fixed_dictionaries(
                {
                    "secretRef": st.fixed_dictionaries(
                        {"name": secret_names}, optional={"optional": st.booleans()}
                    )
                }
            ),
            max_size=2,
        ),
        "valuesFrom": _values_from(),
        "ignoreFields": st.lists(st.sampled_from(_IGNORED), unique=True, max_size=4),
        "instanceRef": st.fixed_dictionaries({"name": names}, optional={"namespace": namespaces}),
        "instanceSelector": st.fixed_dictionaries(
            {"matchLabels": st.just({"tier": "prod"})}, optional={"namespace": namespaces}
        ),
        "adoptionPolicy": st.sampled_from(["Never", "IfUnowned"]),
        "driftPolicy": st.sampled_from(["Correct", "Report"]),
        "healthCheck": st.fixed_dictionaries(
            {}, optional={"enabled": st.booleans(), "interval": st.sampled_from(["0s", "10m"])}
        ),
        "deletionPolicy": st.sampled_from(["Delete", "Orphan"]),
        "resyncInterval": st.sampled_from(["0s", "1s", "90s", "10m", "1h30m", "1.5s"]),
        "suspend": st.booleans(),
    },
).map(_as_admitted)
"""Specs that the CRD admits and that Grafana would take."""


@st.composite
def raw_data_sources(draw: st.DrawFn) -> Json:
    """GrafanaDataSources as the apiserver hands them out, not looked at yet."""
    return {
        "apiVersion": API_VERSION,
        "kind": DATA_SOURCE.kind,
        "metadata": {
            "namespace": draw(namespaces),
            "name": draw(names),
            "uid": draw(st.uuids().map(str)),
            "generation": draw(st.integers(1, 99)),
            "resourceVersion": str(draw(st.integers(1, 10**6))),
        },
        "spec": draw(specs),
    }


data_sources: st.SearchStrategy[DataSource] = raw_data_sources().map(parse_data_source)


class _Wanted:
    """Keys that a spec takes from one Secret or ConfigMap."""

    def __init__(self) -> None:
        self.required: set[str] = set()
        self.optional: set[str] = set()
        self.whole = False

    def add(self, key: str, *, optional: bool | None) -> None:
        (self.optional if optional else self.required).add(key)


def _wanted(spec: DataSourceSpec) -> tuple[dict[str, _Wanted], dict[str, _Wanted]]:
    """Of Secrets, and of ConfigMaps."""
    needs = needs_of(spec)
    secrets = {name: _Wanted() for name in sorted(needs.secrets)}
    config_maps = {name: _Wanted() for name in sorted(needs.config_maps)}
    for source in spec.secure_json_data_from or []:
        secrets[source.secret_ref.name].whole |= not source.secret_ref.optional
    for single in (spec.secure_json_data or {}).values():
        ref = single.secret_key_ref
        secrets[ref.name].add(ref.key, optional=ref.optional)
    for entry in spec.values_from or []:
        if secret_ref := entry.value_from.secret_key_ref:
            secrets[secret_ref.name].add(secret_ref.key, optional=secret_ref.optional)
        if map_ref := entry.value_from.config_map_key_ref:
            config_maps[map_ref.name].add(map_ref.key, optional=map_ref.optional)
    return secrets, config_maps


@st.composite
def _contents(draw: st.DrawFn, wanted: _Wanted) -> dict[str, str] | None:
    """Data that satisfies what is wanted; what is optional may be absent, empty or there."""
    required = {*wanted.required, *({"more"} if wanted.whole else ())}
    if not required and draw(st.booleans()):
        return None
    optional = {key for key in sorted(wanted.optional - required) if draw(st.booleans())}
    data = {key: draw(urls if key == "url" else values) for key in sorted(required)}
    return data | {
        key: draw(urls if key == "url" else st.just("") | values) for key in sorted(optional)
    }


@st.composite
def inputs_for(draw: st.DrawFn, resource: DataSource) -> Inputs:
    """All that a resource refers to, so that it has to wait for nothing."""
    secrets, config_maps = _wanted(resource.spec)
    secret_data = {name: draw(_contents(wanted)) for name, wanted in secrets.items()}
    map_data = {name: draw(_contents(wanted)) for name, wanted in config_maps.items()}
    return Inputs(
        secrets={
            name: None if data is None else secret(name, data=data)
            for name, data in secret_data.items()
        },
        config_maps={
            name: None if data is None else ConfigMapContent(name, "c-1", "1", data)
            for name, data in map_data.items()
        },
        uids={name: draw(uids) for name in sorted(needs_of(resource.spec).data_sources)},
    )


@st.composite
def desired_states(draw: st.DrawFn) -> DesiredDataSource:
    """States that resources ask for, with our mark in them."""
    resource = draw(data_sources)
    meta = resource.metadata
    owner = Owner(OWNER_ID, meta.namespace, meta.name)
    return build_desired(resource, draw(inputs_for(resource)), owner)


def grafana_states(uid: st.SearchStrategy[str] = uids) -> st.SearchStrategy[DataSourceState]:
    """Whatever a Grafana may hold under a uid: ours, foreign, old, edited by hand."""
    return st.builds(
        DataSourceState,
        id=st.integers(1, 10**9),
        uid=uid,
        name=st.text(min_size=1, max_size=20),
        type=plugin_types,
        access=st.sampled_from(["proxy", "direct"]),
        url=st.just("") | urls,
        user=short_texts,
        database=short_texts,
        basicAuth=st.booleans(),
        basicAuthUser=short_texts,
        withCredentials=st.booleans(),
        isDefault=st.booleans(),
        jsonData=st.none()
        | json_data
        | json_data.map(lambda data: {**data, OWNER_KEY: "another/monitoring/prometheus"}),
        secureJsonFields=st.dictionaries(secret_keys, st.just(True), max_size=3),
        version=st.integers(1, 1000),
        readOnly=st.booleans(),
    )
