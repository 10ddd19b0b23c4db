"""Resources, Secrets and answers for tests; what a test does not care about is filled in."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from grafana_datasource_operator.api.config_map import ConfigMapContent
from grafana_datasource_operator.api.datasource import DataSource, parse_data_source
from grafana_datasource_operator.api.grafana_json import DataSourceState
from grafana_datasource_operator.api.names import API_VERSION, DATA_SOURCE, OWNER_KEY
from grafana_datasource_operator.api.secret import SecretContent
from grafana_datasource_operator.payload.datasource import DesiredDataSource, build_desired
from grafana_datasource_operator.payload.identity import Owner
from grafana_datasource_operator.payload.inputs import Inputs
from grafana_datasource_operator.payload.secrets import ResolvedSecrets

Json = dict[str, Any]

OWNER = Owner("owner-1", "monitoring", "prometheus")
MARK = {OWNER_KEY: str(OWNER)}
UID = "monitoring_prometheus"
SPEC: Json = {"type": "prometheus", "url": "http://prometheus:9090"}


def raw_resource(
    *,
    namespace: str = "monitoring",
    name: str = "prometheus",
    kind: str = DATA_SOURCE.kind,
    uid: str = "11111111-0000-0000-0000-000000000000",
    generation: int = 1,
    version: int = 1,
    spec: Json | None = None,
    status: Json | None = None,
    **metadata: Any,
) -> Json:
    """One object as a watch delivers it; further keywords go into metadata."""
    raw: Json = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {
            "namespace": namespace,
            "name": name,
            "uid": uid,
            "generation": generation,
            "resourceVersion": str(version),
            **metadata,
        },
        "spec": SPEC if spec is None else spec,
    }
    return raw if status is None else {**raw, "status": status}


def resource(**arguments: Any) -> DataSource:
    """The same, parsed."""
    return parse_data_source(raw_resource(**arguments))


def desired_of(
    secrets: ResolvedSecrets | None = None,
    *,
    owner: Owner = OWNER,
    inputs: Inputs | None = None,
    **spec: Any,
) -> DesiredDataSource:
    """What a resource with these fields of spec asks for; `secrets` replaces what it resolves."""
    desired = build_desired(resource(spec={**SPEC, **spec}), inputs or Inputs(), owner)
    return desired if secrets is None else replace(desired, secrets=secrets)


def state(**fields: Any) -> DataSourceState:
    """A data source as Grafana answers it: by default what `desired_of()` asks for."""
    held = {
        "id": 7,
        "uid": UID,
        "name": "prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://prometheus:9090",
        "jsonData": {OWNER_KEY: str(OWNER)},
        "version": 3,
    }
    return DataSourceState.model_validate({**held, **fields})


def secret(
    name: str, *, uid: str = "s-1", version: str = "1", data: Mapping[str, str | bytes]
) -> SecretContent:
    """A Secret as the apiserver hands it out, with its values in base64."""
    encoded = {
        key: base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
        for key, value in data.items()
    }
    return SecretContent(name, uid, version, {k: SecretStr(v) for k, v in encoded.items()})


def config_map(
    name: str, *, uid: str = "c-1", version: str = "1", data: Mapping[str, str]
) -> ConfigMapContent:
    """A ConfigMap as it is read."""
    return ConfigMapContent(name, uid, version, data)


def secret_key(name: str, key: str, **more: bool) -> Json:
    """A reference to one key of a Secret."""
    return {"secretKeyRef": {"name": name, "key": key, **more}}


def config_map_key(name: str, key: str, **more: bool) -> Json:
    """A reference to one key of a ConfigMap."""
    return {"configMapKeyRef": {"name": name, "key": key, **more}}


def value_from(path: str, source: Json) -> Json:
    """One entry of valuesFrom."""
    return {"path": path, "valueFrom": source}


def data_source_ref(name: Any) -> Json:
    """A reference to another GrafanaDataSource, inside jsonData."""
    return {"dataSourceRef": {"name": name}}
