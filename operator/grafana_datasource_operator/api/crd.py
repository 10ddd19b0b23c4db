"""Generate the CustomResourceDefinition from the models.

pydantic's JSON schema is not a structural schema: references are inlined, nullable unions become
optional fields, and what the apiserver does not know is dropped.
"""

from typing import Any, cast

import yaml

from .conditions import PENDING
from .datasource import DataSourceSpec, DataSourceStatus
from .instance import InstanceSpec, InstanceStatus
from .model import ApiModel, Json
from .names import DATA_SOURCE, GROUP, INSTANCE, VERSION, ResourceKind

_DROPPED = {"title", "examples", "discriminator", "$defs", "propertyNames"}

_READY = '.status.conditions[?(@.type=="Ready")]'

_INSTANCE_COLUMNS: list[Json] = [
    {"name": "URL", "type": "string", "jsonPath": ".spec.url"},
    {"name": "Version", "type": "string", "jsonPath": ".status.version"},
    {"name": "Ready", "type": "string", "jsonPath": f"{_READY}.status"},
    {"name": "Status", "type": "string", "jsonPath": f"{_READY}.reason"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Org", "type": "integer", "jsonPath": ".status.orgId", "priority": 1},
    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
    {"name": "Message", "type": "string", "jsonPath": f"{_READY}.message", "priority": 1},
]

_DATA_SOURCE_COLUMNS: list[Json] = [
    {"name": "Type", "type": "string", "jsonPath": ".spec.type"},
    {"name": "Instance", "type": "string", "jsonPath": ".status.instanceSummary"},
    {"name": "Ready", "type": "string", "jsonPath": f"{_READY}.status"},
    {"name": "Status", "type": "string", "jsonPath": f"{_READY}.reason"},
    {
        "name": "Healthy",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Healthy")].status',
    },
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "UID", "type": "string", "jsonPath": ".status.uid", "priority": 1},
    {"name": "URL", "type": "string", "jsonPath": ".spec.url", "priority": 1},
    {"name": "Message", "type": "string", "jsonPath": f"{_READY}.message", "priority": 1},
]

# On the root, since the second rule reads status. A uid that is gone or changed would leave the
# old data source behind, with every dashboard pointing at it.
_DATA_SOURCE_RULES: list[Json] = [
    {
        "rule": "!has(oldSelf.spec.uid)"
        " || (has(self.spec.uid) && self.spec.uid == oldSelf.spec.uid)",
        "message": "spec.uid cannot be changed or removed: create another resource instead",
        "fieldPath": ".spec.uid",
    },
    {
        "rule": "has(oldSelf.spec.uid) || !has(self.spec.uid) || !has(oldSelf.status)"
        " || !has(oldSelf.status.uid) || self.spec.uid == oldSelf.status.uid",
        "message": "spec.uid can only be added equal to status.uid",
        "fieldPath": ".spec.uid",
    },
    {
        "rule": "!(has(self.spec.instanceRef) && has(self.spec.instanceSelector))",
        "message": "at most one of instanceRef, instanceSelector can be set",
        "fieldPath": ".spec.instanceSelector",
    },
]


def _inline(schema: Any, definitions: Json) -> Any:
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[-1]]
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        return _inline({**target, **siblings}, definitions)
    return {key: _inline(value, definitions) for key, value in schema.items()}


def _without_null(schema: Json) -> Json:
    options = [option for option in schema["anyOf"] if option != {"type": "null"}]
    if len(options) != 1:
        raise ValueError(f"a structural schema has no unions: {schema}")
    outer = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**options[0], **outer}


def _structural(schema: Json) -> Json:
    """One node of the schema, as the apiserver wants it."""
    if "anyOf" in schema:
        schema = _without_null(schema)
    node = {key: value for key, value in schema.items() if key not in _DROPPED}
    if node.get("default", 0) is None:
        del node["default"]
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    if "properties" in node:
        node["properties"] = {
            name: _structural(child) for name, child in node["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = _structural(node[key])
    if node.get("x-kubernetes-preserve-unknown-fields"):
        node.pop("additionalProperties", None)
    if node.get("type") == "integer":
        node["format"] = "int64"
    return node


def _schema_of(model: type[ApiModel]) -> Json:
    raw = model.model_json_schema(by_alias=True)
    return _structural(cast("Json", _inline(raw, raw.get("$defs", {}))))


def _without_defaults(schema: Json) -> Json:
    """A status that exists is shown as it was written; only the whole of it has a default."""
    node = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in node:
        node["properties"] = {
            name: _without_defaults(child) for name, child in node["properties"].items()
        }
    if "items" in node:
        node["items"] = _without_defaults(node["items"])
    return node


def _definition(kind: ResourceKind, schema: Json, columns: list[Json]) -> Json:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short],
                "categories": ["grafana"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _resource_schema(
    description: str, spec: type[ApiModel], status: type[ApiModel], rules: list[Json]
) -> Json:
    status_schema = _without_defaults(_schema_of(status))
    status_schema["default"] = {
        "observedGeneration": -1,
        "conditions": [PENDING.model_dump(mode="json", by_alias=True)],
    }
    schema: Json = {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _schema_of(spec),
            "status": status_schema,
        },
    }
    return {**schema, "x-kubernetes-validations": rules} if rules else schema


def data_source_crd() -> Json:
    """The CustomResourceDefinition of GrafanaDataSource."""
    schema = _resource_schema(
        "A data source that Grafana is to hold.",
        DataSourceSpec,
        DataSourceStatus,
        _DATA_SOURCE_RULES,
    )
    return _definition(DATA_SOURCE, schema, _DATA_SOURCE_COLUMNS)


def instance_crd() -> Json:
    """The CustomResourceDefinition of GrafanaInstance."""
    schema = _resource_schema(
        "A Grafana, and who may use it.", InstanceSpec, InstanceStatus, rules=[]
    )
    return _definition(INSTANCE, schema, _INSTANCE_COLUMNS)


CRDS = {
    f"{GROUP}_{DATA_SOURCE.plural}.yaml": data_source_crd,
    f"{GROUP}_{INSTANCE.plural}.yaml": instance_crd,
}
"""File name -> generator, for every kind."""


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def render(definition: Json) -> str:
    """One definition as the YAML document that is committed."""
    header = "# Generated by `gdso crds`. Do not edit: change the models in operator/.\n"
    return header + yaml.dump(definition, Dumper=_PlainDumper, sort_keys=False, width=100)
