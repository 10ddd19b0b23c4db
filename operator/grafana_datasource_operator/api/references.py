"""References to Secrets in the resource's own namespace."""

from typing import Annotated

from pydantic import ConfigDict, Field

from .model import ApiModel

SecretName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    ),
]
SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]


class SecretKeyRef(ApiModel):
    """One key of a Secret."""

    name: SecretName
    """Name of the Secret, in this resource's namespace."""
    key: SecretKey
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

    name: SecretName
    """Name of the Secret, in this resource's namespace."""
    optional: bool | None = None
    """True: the Secret may be absent."""


class SecretSource(ApiModel):
    """One entry of `secureJsonDataFrom`."""

    secret_ref: SecretRef
    """Secret of which every key becomes a key of `secureJsonData`."""
