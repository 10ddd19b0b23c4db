"""References: to Secrets and ConfigMaps of the resource's own namespace, and to instances."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from .model import ApiModel, Json

ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"),
]
NamespaceName = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]

# Of labels, as the apiserver demands them.
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[
    str, Field(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
]
MatchLabels = Annotated[dict[LabelKey, LabelValue], Field(max_length=32)]


def exactly_one_of(*names: str) -> ConfigDict:
    """Schema rule of an object that has one of these fields, and no other."""
    has = [f"has(self.{name})" for name in names]
    count = " + ".join(f"({one} ? 1 : 0)" for one in has)
    message = f"exactly one of {', '.join(names)} must be set"
    return rules({"rule": f"{count} == 1", "message": message})


def rules(*validations: Json, **schema: Any) -> ConfigDict:
    """Schema rules of an object, in CEL."""
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": list(validations), **schema})


class SecretKeyRef(ApiModel):
    """One key of a Secret."""

    name: ObjectName
    """Name of the Secret, in this resource's namespace."""
    key: DataKey
    """Key in the Secret's data."""
    optional: bool | None = None
    """True: the Secret or the key may be absent; then Grafana keeps the value that it has."""


class SecretValue(ApiModel):
    """Where one value of `secureJsonData` comes from."""

    # Atomic: server-side apply then merges secureJsonData per key and replaces each reference.
    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    secret_key_ref: SecretKeyRef
    """Key of a Secret that holds the value."""


class SecretRef(ApiModel):
    """A Secret that is taken whole."""

    name: ObjectName
    """Name of the Secret, in this resource's namespace."""
    optional: bool | None = None
    """True: the Secret may be absent."""


class SecretSource(ApiModel):
    """One entry of `secureJsonDataFrom`."""

    secret_ref: SecretRef
    """Secret of which every key becomes a key of `secureJsonData`."""


class ConfigMapKeyRef(ApiModel):
    """One key of a ConfigMap."""

    name: ObjectName
    """Name of the ConfigMap, in this resource's namespace."""
    key: DataKey
    """Key in the ConfigMap's data."""
    optional: bool | None = None
    """True: the ConfigMap or the key may be absent; then the field stays as spec has it."""


class ValueFrom(ApiModel):
    """Where the value of a field comes from."""

    model_config = exactly_one_of("secretKeyRef", "configMapKeyRef")

    secret_key_ref: SecretKeyRef | None = None
    """Key of a Secret; the value is then kept out of every message."""
    config_map_key_ref: ConfigMapKeyRef | None = None
    """Key of a ConfigMap."""


class InstanceRef(ApiModel):
    """A GrafanaInstance."""

    name: ObjectName
    """Name of the GrafanaInstance."""
    namespace: NamespaceName | None = None
    """Its namespace, default this resource's own; another one must admit ours."""


class InstanceSelector(ApiModel):
    """GrafanaInstances of one namespace, by their labels."""

    namespace: NamespaceName | None = None
    """Namespace of the instances, default this resource's own; they must admit ours."""
    match_labels: Annotated[MatchLabels, Field(min_length=1)]
    """Labels that an instance must have, all of them."""
