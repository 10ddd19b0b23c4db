"""GrafanaInstance: spec and status. The CRD is generated from these models."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from .conditions import PENDING, Condition
from .datasource import DeletionPolicy
from .durations import Timeout
from .metadata import StoredObject
from .model import ApiModel, Json
from .names import InstanceKey
from .references import DataKey, MatchLabels, ObjectName, exactly_one_of, rules

_URL = r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$"


class Mode(StrEnum):
    """Whether Grafana is written."""

    ENFORCE = "Enforce"
    DRY_RUN = "DryRun"


class From(StrEnum):
    """Namespaces that an instance admits."""

    NONE = "None"
    SAME = "Same"
    ALL = "All"
    SELECTOR = "Selector"


class TokenSecretRef(ApiModel):
    """A service account token."""

    name: ObjectName
    """Name of the Secret, in this instance's namespace."""
    key: DataKey = "token"
    """Key in the Secret's data."""


class BasicAuthSecretRef(ApiModel):
    """User and password."""

    name: ObjectName
    """Name of the Secret, in this instance's namespace."""
    username_key: DataKey = "admin-user"
    """Key of the user name; the default is that of Grafana's Helm chart."""
    password_key: DataKey = "admin-password"  # noqa: S105 - a key
    """Key of the password; the default is that of Grafana's Helm chart."""


class Auth(ApiModel):
    """Who the operator is in Grafana."""

    model_config = exactly_one_of("tokenSecretRef", "basicAuthSecretRef")

    token_secret_ref: TokenSecretRef | None = None
    """Token of a service account with the role Admin: nothing less can write data sources."""
    basic_auth_secret_ref: BasicAuthSecretRef | None = None
    """User and password of an administrator of the organization."""


class CaRef(ApiModel):
    """A certificate authority in PEM, in a Secret or a ConfigMap."""

    name: ObjectName
    """Name of the object, in this instance's namespace."""
    key: DataKey = "ca.crt"
    """Key in its data."""


class ClientCertRef(ApiModel):
    """A Secret of type kubernetes.io/tls."""

    name: ObjectName
    """Name of the Secret with tls.crt and tls.key, in this instance's namespace."""


class Tls(ApiModel):
    """Whom the operator trusts, and how it shows who it is."""

    model_config = rules(
        {
            "rule": "!(has(self.caSecretRef) && has(self.caConfigMapRef))",
            "message": "at most one of caSecretRef, caConfigMapRef can be set",
        }
    )

    ca_secret_ref: CaRef | None = None
    """The only authority to trust, from a Secret."""
    ca_config_map_ref: CaRef | None = None
    """The only authority to trust, from a ConfigMap."""
    client_cert_secret_ref: ClientCertRef | None = None
    """Client certificate."""
    insecure_skip_verify: bool | None = None
    """True: any certificate is accepted. Whoever is in the way can read the credentials."""


class HeaderSecretRef(ApiModel):
    """One key of a Secret."""

    name: ObjectName
    """Name of the Secret, in this instance's namespace."""
    key: DataKey
    """Key in the Secret's data."""


class HeaderValue(ApiModel):
    """The value of a header."""

    model_config = exactly_one_of("value", "secretKeyRef")

    value: Annotated[str, Field(max_length=4096)] | None = None
    """The value itself."""
    secret_key_ref: HeaderSecretRef | None = None
    """Key of a Secret that holds it."""


HeaderName = Annotated[str, Field(min_length=1, max_length=128)]

Headers = Annotated[
    dict[HeaderName, HeaderValue],
    Field(
        max_length=32,
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(name, name.matches('^[A-Za-z0-9-]+$') && "
                    "!(name.lowerAscii() in ['authorization', 'x-grafana-org-id', 'host',"
                    " 'content-type', 'content-length']))",
                    "message": "names are letters, digits and -; Authorization and X-Grafana-Org-Id"
                    " come from auth and orgId",
                }
            ]
        },
    ),
]


class LabelRequirement(ApiModel):
    """One condition on a label."""

    key: Annotated[str, Field(min_length=1, max_length=317)]
    """Of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """In, NotIn, Exists or DoesNotExist."""
    values: (
        Annotated[
            list[Annotated[str, Field(max_length=63)]],
            Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """For In and NotIn."""


class LabelSelector(ApiModel):
    """Labels that a namespace must have; an empty selector matches all."""

    match_labels: MatchLabels | None = None
    """Labels with these values, all of them."""
    match_expressions: (
        Annotated[
            list[LabelRequirement],
            Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Conditions, all of them."""

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether an object with `labels` is selected."""
        wanted = (self.match_labels or {}).items()
        return all(labels.get(key) == value for key, value in wanted) and all(
            _holds(requirement, labels) for requirement in self.match_expressions or []
        )


def _holds(requirement: LabelRequirement, labels: dict[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in (requirement.values or [])
        case "NotIn":
            return value not in (requirement.values or [])
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


_NEEDS_SELECTOR = {
    "rule": "(self.from == 'Selector') == has(self.selector)",
    "message": "selector goes with from: Selector",
}


class AllowedNamespaces(ApiModel):
    """Namespaces whose resources may refer to the instance."""

    model_config = rules(_NEEDS_SELECTOR)

    from_: Annotated[Literal[From.SAME, From.ALL, From.SELECTOR], Field(alias="from")]
    """Same, All, or Selector."""
    selector: LabelSelector | None = None
    """Labels of the namespaces."""


class AllowedAdopters(ApiModel):
    """Namespaces whose resources may take over data sources that nobody owns."""

    model_config = rules(_NEEDS_SELECTOR)

    from_: Annotated[From, Field(alias="from")]
    """None, Same, All, or Selector."""
    selector: LabelSelector | None = None
    """Labels of the namespaces."""


class InstanceSpec(ApiModel):
    """One organization of one Grafana."""

    url: Annotated[str, Field(min_length=1, max_length=2048, pattern=_URL)]
    """Root of Grafana, with its sub-path if it has one; credentials go into auth."""
    org_id: Annotated[int, Field(ge=1)] | None = None
    """Organization to act in; default that of the credentials."""
    auth: Auth
    """Who the operator is there."""
    tls: Tls | None = None
    """For https."""
    headers: Headers | None = None
    """Sent along with every request."""
    timeout: Timeout | None = None
    """How long Grafana may take to answer, default 10s."""
    max_concurrent_requests: Annotated[int, Field(ge=1, le=32)] | None = None
    """Most requests at once, default 4; writes find their own number below it."""
    mode: Mode = Mode.ENFORCE
    """Enforce, or DryRun: nothing is written, and resources say what would be."""
    allowed_namespaces: AllowedNamespaces | None = None
    """Whose resources may refer to it, default those of its own namespace."""
    allowed_adopters: AllowedAdopters | None = None
    """Whose resources may take over what nobody owns there, default those of its own namespace."""
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    """Delete: stays until the resources on it are cleaned up. Orphan: goes at once."""
    suspend: bool | None = None
    """True: Grafana is left alone, and so are the resources on it."""


class InstanceStatus(ApiModel):
    """What the operator last saw of it."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """metadata.generation that status speaks of; -1 before the first look."""
    version: Annotated[str, Field(max_length=64)] | None = None
    """Of Grafana, where it tells."""
    org_id: int | None = None
    """Organization that the credentials act in."""
    capabilities: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = []
    """What this Grafana can do, found by asking it."""
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
    """Ready, Reconciling, Stalled."""
    last_handled_reconcile_at: Annotated[str, Field(max_length=253)] | None = None
    """Value of the annotation gdso.dev/reconcile-requested-at that was last acted on."""


class Instance(StoredObject):
    """One GrafanaInstance as the apiserver stores it."""

    spec: InstanceSpec
    status: InstanceStatus = InstanceStatus()

    @property
    def key(self) -> InstanceKey:
        """As references and status name it."""
        return InstanceKey(self.metadata.namespace, self.metadata.name)


def parse_instance(raw: Json) -> Instance:
    """Read one raw object.

    Raises:
        pydantic.ValidationError: spec does not fit the schema (an older CRD is installed).
    """
    return Instance.model_validate(raw)
