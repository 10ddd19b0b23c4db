"""GrafanaDataSource: spec and status. The CRD is generated from these models."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, WithJsonSchema

from .conditions import PENDING, REASON_SCHEMA, Condition
from .durations import Interval
from .metadata import StoredObject
from .model import ApiModel, FreeForm, Json
from .names import InstanceKey
from .reasons import ConditionStatus, Reason
from .references import InstanceRef, InstanceSelector, SecretSource, SecretValue, ValueFrom

UID_PATTERN = r"^[A-Za-z0-9_-]+$"


class Access(StrEnum):
    """Who connects to the back end: Grafana's server, or the browser."""

    PROXY = "proxy"
    DIRECT = "direct"


class DeletionPolicy(StrEnum):
    """What happens in Grafana when the resource is deleted."""

    DELETE = "Delete"
    ORPHAN = "Orphan"


class AdoptionPolicy(StrEnum):
    """Whether a data source that nobody owns is taken over."""

    NEVER = "Never"
    IF_UNOWNED = "IfUnowned"


class DriftPolicy(StrEnum):
    """What happens to changes that others make in Grafana."""

    CORRECT = "Correct"
    REPORT = "Report"


ShortText = Annotated[str, Field(max_length=255)]

SecretValues = Annotated[
    dict[str, SecretValue],
    Field(
        max_length=64,
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(key, size(key) > 0 && size(key) <= 253)",
                    "message": "keys must have 1 to 253 characters",
                }
            ]
        },
    ),
]

Pointer = Annotated[str, Field(min_length=2, max_length=512, pattern=r"^(/([^~/]|~0|~1)*)+$")]
"""A JSON Pointer (RFC 6901) into spec."""


class ValueSource(ApiModel):
    """One entry of `valuesFrom`."""

    path: Pointer
    """JSON Pointer of the field that is set: /url, /user, /database, /basicAuthUser, /name, or
    below /jsonData."""
    value_from: ValueFrom
    """Where its value comes from."""


class HealthCheck(ApiModel):
    """How Grafana's own health check of the data source is used."""

    enabled: bool | None = None
    """False: Grafana is not asked, and there is no condition Healthy."""
    interval: Interval | None = None
    """How often Grafana is asked, default 10m; 0s = only after a write."""


class DataSourceSpec(ApiModel):
    """The data source that Grafana is to hold."""

    instance_ref: InstanceRef | None = None
    """The GrafanaInstance that is to hold it; default the operator's own."""
    instance_selector: InstanceSelector | None = None
    """All GrafanaInstances of one namespace with these labels, instead of instanceRef."""
    uid: Annotated[str, Field(min_length=1, max_length=40, pattern=UID_PATTERN)] | None = None
    """uid in Grafana; default made from namespace and name. Cannot be changed or removed."""
    name: Annotated[str, Field(min_length=1, max_length=190)] | None = None
    """Display name in Grafana, unique per organization; default metadata.name."""
    type: Annotated[
        str, Field(min_length=1, max_length=190, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    ]
    """Plugin id, for example prometheus, loki, tempo."""
    access: Access = Access.PROXY
    """proxy: Grafana's server connects to the back end; direct: the browser does."""
    url: ShortText | None = None
    """Address of the back end."""
    user: ShortText | None = None
    """User name, for types that have one (SQL, InfluxDB)."""
    database: ShortText | None = None
    """Database, for types that have one."""
    basic_auth: bool | None = None
    """Send basic auth to the back end; the password is secureJsonData.basicAuthPassword."""
    basic_auth_user: ShortText | None = None
    """User name for basic auth."""
    with_credentials: bool | None = None
    """Send cookies and auth headers along with cross-site requests."""
    is_default: bool | None = None
    """Default data source of the organization; unset leaves it as Grafana has it."""
    json_data: FreeForm | None = None
    """Settings of the plugin, passed on as they are; nulls count as absent."""
    secure_json_data: SecretValues | None = None
    """Secret settings of the plugin: key -> reference to a Secret."""
    secure_json_data_from: (
        Annotated[
            list[SecretSource],
            Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Secrets of which every key becomes a key of secureJsonData, which wins over them."""
    values_from: (
        Annotated[
            list[ValueSource],
            Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Other fields whose values come from Secrets or ConfigMaps."""
    ignore_fields: (
        Annotated[
            list[Pointer],
            Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """JSON Pointers of fields that stay as Grafana has them once the data source exists."""
    adoption_policy: AdoptionPolicy = AdoptionPolicy.NEVER
    """IfUnowned: a data source with this uid that nobody owns is taken over."""
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    """Delete: removed from Grafana with this resource. Orphan: left there, without our mark."""
    drift_policy: DriftPolicy = DriftPolicy.CORRECT
    """Correct: what others changed in Grafana is put right. Report: it is only told."""
    resync_interval: Interval | None = None
    """How often Grafana is looked at again: 0s = never, else at least 1s."""
    health_check: HealthCheck | None = None
    """Grafana's own health check, which becomes the condition Healthy."""
    suspend: bool | None = None
    """True: nothing is written to Grafana; deletion still cleans up."""


class SyncStatus(ApiModel):
    """State of the data source on one Grafana instance."""

    namespace: Annotated[str, Field(min_length=1, max_length=63)]
    """Namespace of the GrafanaInstance; "-" for the one from the operator's settings."""
    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the GrafanaInstance; "default" for the one from the operator's settings."""
    id: int | None = None
    """Numeric id that Grafana gave."""
    version: int | None = None
    """Version that our last write returned."""
    secrets_revision: Annotated[str, Field(max_length=64)] | None = None
    """Digest over names, uids, resource versions and keys of all that was referred to (Secrets,
    ConfigMaps, data sources); never of values."""
    synced: ConditionStatus = ConditionStatus.UNKNOWN
    """Whether this instance holds the state of spec."""
    health: Annotated[str, Field(max_length=32)] | None = None
    """What Grafana's health check said last."""
    reason: Annotated[Reason, WithJsonSchema(REASON_SCHEMA)] = Reason.PENDING
    """Why synced is what it is."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """What is wrong there, for people."""

    @property
    def key(self) -> InstanceKey:
        """Of the instance."""
        return InstanceKey(self.namespace, self.name)


class DataSourceStatus(ApiModel):
    """What the operator last saw and did."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """metadata.generation that status speaks of; -1 before the first look."""
    uid: Annotated[str, Field(max_length=40)] | None = None
    """uid of the data source in Grafana."""
    instance_summary: Annotated[str, Field(max_length=253)] | None = None
    """Name of the instance, or how many of several hold the state, such as 3/4."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=8,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        ),
    ] = [PENDING]
    """Ready, Reconciling, Stalled, Healthy."""
    instances: Annotated[
        list[SyncStatus],
        Field(
            max_length=64,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["namespace", "name"],
            },
        ),
    ] = []
    """State per Grafana instance."""
    last_handled_reconcile_at: Annotated[str, Field(max_length=253)] | None = None
    """Value of the annotation gdso.dev/reconcile-requested-at that was last acted on."""


class DataSource(StoredObject):
    """One GrafanaDataSource as the apiserver stores it."""

    spec: DataSourceSpec
    status: DataSourceStatus = DataSourceStatus()

    def recorded(self, instance: InstanceKey) -> SyncStatus | None:
        """What status records for one instance, if anything."""
        return next((i for i in self.status.instances if i.key == instance), None)


def parse_data_source(raw: Json) -> DataSource:
    """Read one raw object.

    Raises:
        pydantic.ValidationError: spec does not fit the schema (an older CRD is installed).
    """
    return DataSource.model_validate(raw)
