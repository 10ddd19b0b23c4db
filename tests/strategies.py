"""Hypothesis strategies: GrafanaDataSource as the apiserver admits it, and what Grafana may hold.

Every new field of the spec is added to `specs`, so that the property tests see it.
"""

from typing import Any

from hypothesis import strategies as st
from pydantic import SecretStr

from grafana_datasource_operator.api.datasource import DataSource, parse_data_source
from grafana_datasource_operator.api.grafana_json import DataSourceState
from grafana_datasource_operator.api.names import API_VERSION, DATA_SOURCE, OWNER_KEY
from grafana_datasource_operator.payload.datasource import (
    KEPT_KEYS,
    DesiredDataSource,
    ResolvedSecrets,
    build_desired,
)
from grafana_datasource_operator.payload.identity import Owner
from grafana_datasource_operator.payload.rules import URL_REQUIRED

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
secret_values = st.text(min_size=1, max_size=20).map(SecretStr)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
"""Free-form JSON that neither the apiserver nor Grafana changes."""

json_data = st.dictionaries(
    (st.sampled_from(["httpMethod", "timeout", "a/b", "m~n", *sorted(KEPT_KEYS)]) | texts).filter(
        lambda key: key != OWNER_KEY
    ),
    json_values,
    max_size=4,
)

secret_key_refs = st.fixed_dictionaries(
    {"name": secret_names, "key": secret_keys}, optional={"optional": st.booleans()}
)


def _with_needed_url(spec: Json) -> Json:
    needed = spec["type"] in URL_REQUIRED and not spec.get("url", "").strip()
    return {**spec, "url": "http://back-end:9090"} if needed else spec


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
        "jsonData": json_data,
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
        "deletionPolicy": st.sampled_from(["Delete", "Orphan"]),
        "resyncInterval": st.sampled_from(["0s", "1s", "90s", "10m", "1h30m", "1.5s"]),
        "suspend": st.booleans(),
    },
).map(_with_needed_url)
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

resolved_secrets = st.builds(
    ResolvedSecrets,
    values=st.dictionaries(secret_keys, secret_values, max_size=3),
    kept=st.frozensets(secret_keys, max_size=2),
    keeps_all=st.booleans(),
    revision=st.none() | st.just("0123456789abcdef"),
).map(
    # As `resolve_secrets` answers it: a key has a value or is kept, never both.
    lambda s: ResolvedSecrets(s.values, s.kept - s.values.keys(), s.keeps_all, s.revision)
)


@st.composite
def desired_states(draw: st.DrawFn) -> DesiredDataSource:
    """States that resources ask for, with our mark in them."""
    resource = draw(data_sources)
    meta = resource.metadata
    owner = Owner(OWNER_ID, meta.namespace, meta.name)
    return build_desired(resource, draw(resolved_secrets), owner)


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
