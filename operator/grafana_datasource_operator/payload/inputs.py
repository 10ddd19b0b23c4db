"""What a spec refers to, and what was found there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..api.config_map import ConfigMapContent
from ..api.datasource import DataSourceSpec
from ..api.secret import SecretContent
from .references import referred_names


@dataclass(frozen=True, slots=True)
class Needs:
    """Names in the resource's own namespace."""

    secrets: frozenset[str]
    config_maps: frozenset[str]
    data_sources: frozenset[str]

    def __bool__(self) -> bool:
        """Whether anything is referred to."""
        return bool(self.secrets or self.config_maps or self.data_sources)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that was referred to, by name; None where it does not exist.

    Attributes:
        secrets: Secrets.
        config_maps: ConfigMaps.
        uids: uid in Grafana of each GrafanaDataSource.
    """

    secrets: Mapping[str, SecretContent | None] = field(default_factory=dict)
    config_maps: Mapping[str, ConfigMapContent | None] = field(default_factory=dict)
    uids: Mapping[str, str | None] = field(default_factory=dict)


def needs_of(spec: DataSourceSpec) -> Needs:
    """All that `spec` refers to; what is no reference in form is not counted, and never raised."""
    values = [entry.value_from for entry in spec.values_from or []]
    return Needs(
        secrets=frozenset(
            [value.secret_key_ref.name for value in (spec.secure_json_data or {}).values()]
            + [source.secret_ref.name for source in spec.secure_json_data_from or []]
            + [value.secret_key_ref.name for value in values if value.secret_key_ref]
        ),
        config_maps=frozenset(
            value.config_map_key_ref.name for value in values if value.config_map_key_ref
        ),
        data_sources=referred_names(spec.json_data or {}),
    )
