"""Translate a GrafanaDataSource into the state that Grafana is to hold."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from ..api.datasource import DataSource, DataSourceSpec
from ..api.grafana_json import DataSourceBody, DataSourceState
from ..api.metadata import ObjectMeta
from ..api.model import Json
from ..api.names import OWNER_KEY
from .identity import Owner, derive_uid
from .ignored import FIELDS, ignored_pointers, keep_json
from .inputs import Inputs, needs_of
from .json_values import is_deeper_than, without_nulls
from .plugin_types import canonical_type
from .references import resolve_references
from .revision import digest_inputs
from .rules import MAX_LEVELS, check_spec, needs_url
from .secrets import ResolvedSecrets, resolve_secrets
from .values import FilledSpec, fill_values

MAX_NAME_BYTES = 190
"""Width of Grafana's name column."""


@dataclass(frozen=True, slots=True)
class DesiredDataSource:
    """The state that Grafana is to hold; `is_default` None leaves it as Grafana has it.

    Attributes:
        ignored: JSON Pointers of what stays as Grafana has it.
        secret_fed: JSON Pointers of fields whose values came from Secrets.
        hidden: those values; no message shows them.
    """

    uid: str
    name: str = field(repr=False)
    type: str
    access: str
    url: str = field(repr=False)
    user: str = field(repr=False)
    database: str = field(repr=False)
    basic_auth: bool
    basic_auth_user: str = field(repr=False)
    with_credentials: bool
    is_default: bool | None
    json_data: Json = field(repr=False)
    secrets: ResolvedSecrets
    ignored: frozenset[str] = frozenset()
    secret_fed: frozenset[str] = frozenset()
    hidden: tuple[SecretStr, ...] = ()

    @property
    def shown_name(self) -> str:
        """The name as messages show it."""
        return "(from a Secret)" if "/name" in self.secret_fed else f'"{self.name}"'


def uid_of(resource: DataSource) -> str:
    """Uid in Grafana of the data source that `resource` describes."""
    meta = resource.metadata
    return resource.spec.uid or derive_uid(meta.namespace, meta.name)


def plain_name(meta: ObjectMeta, spec: DataSourceSpec) -> str | None:
    """Display name, or None where a Secret or ConfigMap has it."""
    if any(source.path == "/name" for source in spec.values_from or []):
        return None
    return spec.name or meta.name


def build_desired(resource: DataSource, inputs: Inputs, owner: Owner) -> DesiredDataSource:
    """The state that `resource` asks for, our mark included.

    Raises:
        ReconcileError: InvalidSpec, WaitingForSecret, WaitingForConfigMap, WaitingForDataSource.
    """
    filled = fill_values(resource.spec, inputs)
    spec = filled.spec
    check_spec(spec)
    secrets = _resolve_secrets(resource, filled, inputs)
    json_data = resolve_references(without_nulls(spec.json_data or {}), inputs.uids)
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
        json_data={**json_data, OWNER_KEY: str(owner)},
        secrets=secrets,
        ignored=ignored_pointers(spec),
        secret_fed=filled.secret_fed,
        hidden=filled.hidden,
    )


def _resolve_secrets(resource: DataSource, filled: FilledSpec, inputs: Inputs) -> ResolvedSecrets:
    secrets = resolve_secrets(filled.spec, inputs.secrets)
    # A reference that a value from elsewhere replaced is not used.
    used = replace(needs_of(resource.spec), data_sources=needs_of(filled.spec).data_sources)
    revision = digest_inputs(used, inputs, secret_keys=secrets.values, filled=filled.pointers)
    return replace(secrets, revision=revision)


def held_json_data(actual: DataSourceState) -> Json:
    """The jsonData that Grafana holds; empty where nobody could compare it, it is that deep."""
    held = actual.json_data or {}
    return {} if is_deeper_than(MAX_LEVELS, held) else held


def keep_ignored(desired: DesiredDataSource, actual: DataSourceState) -> DesiredDataSource:
    """The state to reach from `actual`: what is ignored is as Grafana has it."""
    kept: dict[str, Any] = {
        FIELDS[pointer]: getattr(actual, FIELDS[pointer])
        for pointer in desired.ignored & FIELDS.keys()
    }
    # Both cannot be empty in a PUT.
    if not kept.get("access", "proxy"):
        del kept["access"]
    if needs_url(desired.type) and not kept.get("url", "http://").strip():
        del kept["url"]
    json_data = keep_json(desired.json_data, held_json_data(actual), desired.ignored)
    return replace(desired, json_data=json_data, **kept)


def create_body(desired: DesiredDataSource) -> DataSourceBody:
    """Body of POST."""
    return _body(desired, is_default=bool(desired.is_default))


def update_body(
    desired: DesiredDataSource, actual: DataSourceState, *, adopting: bool = False
) -> DataSourceBody:
    """Body of PUT over `actual`: locked by its version, with keys that left the spec blanked.

    PUT merges secrets, so a key is only gone when it is sent empty. When `adopting` what nobody
    owned moves it to another back end, all secrets are blanked that the spec has no value for: a
    password of unknown origin must not be sent to a new host.
    """
    kept = keep_ignored(desired, actual)
    held = actual.secret_keys
    blanked = kept.secrets.left_over(held)
    if adopting and _is_moved(kept, actual):
        blanked = held - kept.secrets.values.keys()
    return _body(
        kept,
        is_default=actual.is_default if kept.is_default is None else kept.is_default,
        blanked=blanked,
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


def listed_digest(state: DataSourceState) -> str:
    """Digest of what Grafana's list shows of a data source, and a GET by uid as well.

    For comparing in memory only: values that came from Secrets may be among the fields.
    """
    shown = [
        state.name,
        canonical_type(state.type),
        state.access,
        state.url,
        state.user,
        state.database,
        state.basic_auth,
        state.is_default,
        _canonical(without_nulls(held_json_data(state))),
        state.read_only,
    ]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]


def parked_name(name: str, uid: str) -> str:
    """A name that is free for the data source with `uid`, while another takes the one it has."""
    suffix = f" (gdso {hashlib.sha256(uid.encode()).hexdigest()[:8]})"
    room = MAX_NAME_BYTES - len(suffix)
    return name.encode()[:room].decode(errors="ignore") + suffix


def _is_moved(desired: DesiredDataSource, actual: DataSourceState) -> bool:
    return (desired.url, canonical_type(desired.type), desired.access) != (
        actual.url,
        canonical_type(actual.type),
        actual.access,
    )


def _canonical(value: Any) -> Any:
    """`value` with one spelling of each number: 1.0 is 1."""
    if isinstance(value, dict):
        return {key: _canonical(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _body(
    desired: DesiredDataSource,
    *,
    is_default: bool,
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
        json_data=desired.json_data,
        secure_json_data={**dict.fromkeys(blanked, SecretStr("")), **desired.secrets.values},
        version=version,
        hidden=desired.hidden,
    )
