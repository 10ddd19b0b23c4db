"""Translate a GrafanaDataSource into the state that Grafana is to hold."""

from dataclasses import dataclass, field

from pydantic import SecretStr

from ..api.datasource import DataSource
from ..api.grafana_json import DataSourceBody, DataSourceState
from ..api.model import Json
from ..api.names import OWNER_KEY
from .identity import Owner, derive_uid
from .json_values import without_nulls

KEPT_KEYS = frozenset({"teamHttpHeaders", "pdcInjected", "grafanaExternalId"})
"""Keys of jsonData that Grafana writes itself: kept as it has them unless the spec sets them."""


@dataclass(frozen=True, slots=True)
class ResolvedSecrets:
    """secureJsonData as read from Secrets.

    Attributes:
        values: key -> value to send.
        kept: keys of optional references without a value: Grafana keeps what it has.
        keeps_all: an optional Secret taken whole is absent or empty; its keys are not known.
        revision: digest over the Secrets used, never over values; None where none is used.
    """

    values: dict[str, SecretStr] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    keeps_all: bool = False
    revision: str | None = None

    def left_over(self, held: frozenset[str]) -> frozenset[str]:
        """Keys of `held` that the spec no longer asks for."""
        return frozenset() if self.keeps_all else held - self.values.keys() - self.kept


@dataclass(frozen=True, slots=True)
class DesiredDataSource:
    """The state that Grafana is to hold; `is_default` None leaves it as Grafana has it."""

    uid: str
    name: str
    type: str
    access: str
    url: str
    user: str
    database: str
    basic_auth: bool
    basic_auth_user: str
    with_credentials: bool
    is_default: bool | None
    json_data: Json
    secrets: ResolvedSecrets


def uid_of(resource: DataSource) -> str:
    """Uid in Grafana of the data source that `resource` describes."""
    meta = resource.metadata
    return resource.spec.uid or derive_uid(meta.namespace, meta.name)


def build_desired(
    resource: DataSource, secrets: ResolvedSecrets, owner: Owner
) -> DesiredDataSource:
    """The state that `resource` asks for, our mark included."""
    spec = resource.spec
    return DesiredDataSource(
        uid=uid_of(resource),
        name=spec.name or resource.metadata.name,
        type=spec.type,
        access=spec.access.value,
        url=spec.url or "",
        user=spec.user or "",
        database=spec.database or "",
        basic_auth=bool(spec.basic_auth),
        basic_auth_user=spec.basic_auth_user or "",
        with_credentials=bool(spec.with_credentials),
        is_default=spec.is_default,
        json_data={**without_nulls(spec.json_data or {}), OWNER_KEY: str(owner)},
        secrets=secrets,
    )


def kept_json_data(desired: DesiredDataSource, actual: DataSourceState) -> Json:
    """Keys that Grafana wrote itself and the spec does not set."""
    return {
        key: value
        for key, value in (actual.json_data or {}).items()
        if key in KEPT_KEYS and key not in desired.json_data
    }


def create_body(desired: DesiredDataSource) -> DataSourceBody:
    """Body of POST."""
    return _body(desired, is_default=bool(desired.is_default), json_data=desired.json_data)


def update_body(desired: DesiredDataSource, actual: DataSourceState) -> DataSourceBody:
    """Body of PUT over `actual`: locked by its version, with keys that left the spec blanked.

    PUT merges secrets, so a key is only gone when it is sent empty.
    """
    is_default = actual.is_default if desired.is_default is None else desired.is_default
    return _body(
        desired,
        is_default=is_default,
        json_data={**desired.json_data, **kept_json_data(desired, actual)},
        blanked=desired.secrets.left_over(actual.secret_keys),
        version=actual.version,
    )


def orphan_body(actual: DataSourceState) -> DataSourceBody:
    """Body of the PUT that only takes our mark away."""
    json_data = {k: v for k, v in (actual.json_data or {}).items() if k != OWNER_KEY}
    return DataSourceBody(
        uid=actual.uid,
        name=actual.name,
        type=actual.type,
        access=actual.access,
        url=actual.url,
        user=actual.user,
        database=actual.database,
        basic_auth=actual.basic_auth,
        basic_auth_user=actual.basic_auth_user,
        with_credentials=actual.with_credentials,
        is_default=actual.is_default,
        json_data=json_data,
        version=actual.version,
    )


def _body(
    desired: DesiredDataSource,
    *,
    is_default: bool,
    json_data: Json,
    blanked: frozenset[str] = frozenset(),
    version: int | None = None,
) -> DataSourceBody:
    return DataSourceBody(
        uid=desired.uid,
        name=desired.name,
        type=desired.type,
        access=desired.access,
        url=desired.url,
        user=desired.user,
        database=desired.database,
        basic_auth=desired.basic_auth,
        basic_auth_user=desired.basic_auth_user,
        with_credentials=desired.with_credentials,
        is_default=is_default,
        json_data=json_data,
        secure_json_data={**dict.fromkeys(blanked, SecretStr("")), **desired.secrets.values},
        version=version,
    )
