"""A Kubernetes ConfigMap as it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConfigMapContent:
    """One ConfigMap as the apiserver holds it; `data` is plain text, binaryData does not count."""

    name: str
    uid: str
    resource_version: str
    data: Mapping[str, str] = field(default_factory=dict)
