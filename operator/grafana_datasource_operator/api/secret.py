"""A Kubernetes Secret as it is read: just long enough to be sent on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class SecretContent:
    """One Secret as the apiserver holds it; `data` is base64, not decoded before use."""

    name: str
    uid: str
    resource_version: str
    data: Mapping[str, SecretStr] = field(default_factory=dict)
