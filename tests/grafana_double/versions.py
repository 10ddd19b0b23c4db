"""What the versions of Grafana do differently, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

JsonObject = dict[str, object]


class OtherUid(Enum):
    """What a PUT does whose body names another uid than the data source has."""

    RENAMES = "renames"
    FAILS = "fails"


class FileSecrets(Enum):
    """What becomes of secrets when a provisioning file is applied to what is there."""

    ADD = "add"
    REPLACE = "replace"
    REPLACE_IF_ANY = "replace if any"
    """A file without secrets leaves them alone."""


class CorrelationRules(Enum):
    """The two shapes that correlations had."""

    TYPE_IN_CONFIG = "config.type"
    """No organisation, no transformations, an unpaged list, deleted with their target."""
    TYPE_ON_TOP = "type"
    """Paged list, external links, hidden (not deleted) while their target is missing."""


class BadCredential(Enum):
    """Why a request was not let in."""

    NONE = "none"
    MALFORMED = "malformed"
    PASSWORD = "wrong password"
    TOKEN = "unknown token"
    DELETED_TOKEN = "deleted token"
    EXPIRED_TOKEN = "expired token"
    OTHER_ORG = "token of another organisation"


class AccountProblem(Enum):
    """What may be wrong with a request about service accounts."""

    NAME_TAKEN = "name of an account taken"
    NO_ACCOUNT = "no such account"
    BAD_ACCOUNT_ID = "id of an account is not a number"
    TOKEN_NAME_TAKEN = "name of a token taken"
    NO_TOKEN = "no such token"


@dataclass(frozen=True)
class ErrorText:
    """An error as a version words it; see `answers.ApiError`."""

    status: int
    message: str
    has_cause: bool = True
    message_id: str = ""


@dataclass(frozen=True)
class Plugin:
    """An installed data source plugin."""

    id: str
    name: str
    aliases: frozenset[str] = frozenset()
    health: str = ""
    """A key of `health.PROBES`; `unavailable` where the plugin has no back end, `fails` where that
    breaks, empty where it has no health check."""


@dataclass(frozen=True)
class Version:
    """One version of Grafana."""

    name: str
    commit: str
    plugins: tuple[Plugin, ...]
    """Grafana's catalogue of installed data source types."""
    url_required: frozenset[str]
    """Types whose PUT (not POST) demands a url; the type is taken as sent, aliases do not count."""

    correlations: CorrelationRules | None
    has_uid_routes: bool
    """PUT, health, resources and proxy by uid."""
    account_errors: Mapping[AccountProblem, ErrorText] | None
    """Of service accounts; None: there are API keys instead."""
    has_role_none: bool
    has_permission_list: bool
    """`GET /api/access-control/user/permissions`."""
    has_plugin_message_ids: bool
    """Errors of plugins carry `messageId` and `statusCode`."""
    has_query_message_ids: bool
    only_admins_read: bool
    """Viewers and editors may query data sources but not read them."""
    names_missing_permission: bool
    """403 says which action is missing; before that: `Permission denied`."""
    checks_org_of_token: bool
    """A token with `X-Grafana-Org-Id` of another organisation: 401; before that: ignored."""
    checks_org_membership: bool
    """`GET /api/org` for an organisation that one is not in: 403; before that: 404."""
    unauthorized: Mapping[BadCredential, tuple[int, JsonObject]]
    trace_id: str | None
    """`traceID` of refusals that have a cause; None where they show none."""
    context_trace_id: str
    """The same for refusals that are written before or beside a handler."""

    makes_names: bool
    """POST without a name takes one from the type."""
    limits_names_urls_and_uids: bool
    first_is_default: bool
    guards_team_headers: bool
    other_uid: OtherUid
    rename_clash: ErrorText
    rename_clash_goes_first: bool
    """Before the version is looked at; else the database finds the clash, at the end."""
    bad_id_has_cause: bool
    """GET by id of what is not a number shows a `traceID`."""
    put_keeps_if_empty: frozenset[str]
    """Columns that PUT cannot clear, because the ORM does not write empty values."""
    file_secrets: FileSecrets
    file_version_counts: bool
    """The `version` of a provisioning file is a lock; before that it is read and not used."""
    prunes: bool
    """`prune: true` in a provisioning file is known."""
    shows_blanked_secrets: bool
    shows_url_in_errors: bool
    shows_plugin_of_one: bool
    """GET of one data source shows the plugin's id instead of an alias, and its logo."""
    shows_api_version: bool
    shows_legacy_passwords: bool
    keeps_decrypted_secrets: bool
    """Decrypted secrets are kept until `updated` changes: no new one is in time for the proxy."""
    proxies_authorization: bool
    """The caller's own credentials go to the back end, unless it has basic auth."""
    proxy_path: str
    """What is cut from the path of a proxied request (a regular expression)."""

    _by_type: dict[str, Plugin] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for plugin in self.plugins:
            for name in (plugin.id, *plugin.aliases):
                self._by_type[name] = plugin

    def plugin(self, data_source_type: str) -> Plugin | None:
        return self._by_type.get(data_source_type)


_URL_REQUIRED = frozenset(
    {
        "alertmanager",
        "elasticsearch",
        "graphite",
        "influxdb",
        "influxdb_08",
        "jaeger",
        "loki",
        "mssql",
        "mysql",
        "opentsdb",
        "prometheus",
        "tempo",
        "zipkin",
    }
)
_OLD_PLUGINS = (
    Plugin("alertmanager", "Alertmanager", health="unavailable"),
    Plugin("cloudwatch", "CloudWatch"),
    Plugin("elasticsearch", "Elasticsearch"),
    Plugin("graphite", "Graphite"),
    Plugin("influxdb", "InfluxDB"),
    Plugin("jaeger", "Jaeger", health="unavailable"),
    Plugin("loki", "Loki"),
    Plugin("mssql", "Microsoft SQL Server"),
    Plugin("mysql", "MySQL"),
    Plugin("opentsdb", "OpenTSDB"),
    Plugin("postgres", "PostgreSQL"),
    Plugin("prometheus", "Prometheus"),
    Plugin("stackdriver", "Google Cloud Monitoring", health="fails"),
    Plugin("tempo", "Tempo"),
    Plugin("testdata", "TestData DB"),
    Plugin("zipkin", "Zipkin", health="unavailable"),
)
_NEW_PLUGINS = (
    Plugin("alertmanager", "Alertmanager", health="unavailable"),
    Plugin("cloudwatch", "CloudWatch", health="http"),
    Plugin("elasticsearch", "Elasticsearch", health="elasticsearch"),
    Plugin("graphite", "Graphite", health="http"),
    Plugin("grafana-postgresql-datasource", "PostgreSQL", frozenset({"postgres"}), health="http"),
    Plugin("grafana-pyroscope-datasource", "Grafana Pyroscope", frozenset({"phlare"}), "http"),
    Plugin("grafana-testdata-datasource", "TestData", frozenset({"testdata"}), health="ok"),
    Plugin("influxdb", "InfluxDB", health="http"),
    Plugin("jaeger", "Jaeger", health="http"),
    Plugin("loki", "Loki", health="loki"),
    Plugin("mssql", "Microsoft SQL Server", health="http"),
    Plugin("mysql", "MySQL", health="http"),
    Plugin("opentsdb", "OpenTSDB", health="http"),
    Plugin("prometheus", "Prometheus", health="prometheus"),
    Plugin("stackdriver", "Google Cloud Monitoring", health="fails"),
    Plugin("tempo", "Tempo", health="http"),
    Plugin("zipkin", "Zipkin", health="http"),
)


def _old_unauthorized(
    trace_id: str, deleted_token: int
) -> dict[BadCredential, tuple[int, JsonObject]]:
    def caused(message: str) -> JsonObject:
        return {"message": message, "traceID": trace_id}

    return {
        BadCredential.NONE: (401, {"message": "Unauthorized"}),
        BadCredential.MALFORMED: (401, caused("Invalid Basic Auth Header")),
        BadCredential.PASSWORD: (401, caused("invalid username or password")),
        BadCredential.TOKEN: (401, caused("invalid API key")),
        BadCredential.DELETED_TOKEN: (deleted_token, caused("invalid API key")),
        BadCredential.EXPIRED_TOKEN: (401, {"message": "Expired API key"}),
    }


def _unauthorized(message_id: str, message: str) -> tuple[int, JsonObject]:
    body: JsonObject = {
        "extra": None,
        "message": message,
        "messageId": message_id,
        "statusCode": 401,
        "traceID": "",
    }
    return 401, body


_NOBODY = _unauthorized("auth.unauthorized", "Unauthorized")
_NEW_UNAUTHORIZED: dict[BadCredential, tuple[int, JsonObject]] = {
    BadCredential.NONE: _NOBODY,
    BadCredential.MALFORMED: _NOBODY,
    BadCredential.PASSWORD: _unauthorized("password-auth.failed", "Invalid username or password"),
    BadCredential.TOKEN: _unauthorized("api-key.invalid", "Invalid API key"),
    BadCredential.DELETED_TOKEN: (401, {"message": "Unauthorized", "traceID": ""}),
    BadCredential.EXPIRED_TOKEN: _unauthorized("api-key.expired", "Expired API key"),
    BadCredential.OTHER_ORG: _unauthorized(
        "api-key.organization-mismatch", "API key does not belong to the requested organization"
    ),
}

_TOKEN_NAME_TAKEN = "service account token with given name already exists in the organization"
_OLD_ACCOUNT_ERRORS = {
    AccountProblem.NAME_TAKEN: ErrorText(400, "Failed to create service account"),
    AccountProblem.NO_ACCOUNT: ErrorText(404, "Failed to retrieve service account"),
    AccountProblem.BAD_ACCOUNT_ID: ErrorText(400, "Service Account ID is invalid"),
    AccountProblem.TOKEN_NAME_TAKEN: ErrorText(409, _TOKEN_NAME_TAKEN, has_cause=False),
    AccountProblem.NO_TOKEN: ErrorText(500, "Failed to delete service account token"),
}
_NEW_ACCOUNT_ERRORS = {
    AccountProblem.NAME_TAKEN: ErrorText(
        400, "service account already exists", message_id="serviceaccounts.ErrAlreadyExists"
    ),
    AccountProblem.NO_ACCOUNT: ErrorText(
        404, "service account not found", message_id="serviceaccounts.ErrNotFound"
    ),
    AccountProblem.TOKEN_NAME_TAKEN: ErrorText(
        400, _TOKEN_NAME_TAKEN, message_id="serviceaccounts.ErrTokenAlreadyExists"
    ),
    AccountProblem.NO_TOKEN: ErrorText(
        404, "service account token not found", message_id="serviceaccounts.ErrTokenNotFound"
    ),
}


_8_5 = Version(
    name="8.5.9",
    commit="NA",
    plugins=_OLD_PLUGINS,
    url_required=_URL_REQUIRED | {"postgres"},
    correlations=None,
    has_uid_routes=False,
    account_errors=None,
    has_role_none=False,
    has_permission_list=False,
    has_query_message_ids=False,
    only_admins_read=True,
    has_plugin_message_ids=False,
    names_missing_permission=False,
    checks_org_of_token=False,
    checks_org_membership=False,
    unauthorized=_old_unauthorized("0" * 32, deleted_token=401),
    trace_id="0" * 32,
    context_trace_id="0" * 32,
    makes_names=False,
    limits_names_urls_and_uids=False,
    first_is_default=False,
    guards_team_headers=False,
    other_uid=OtherUid.RENAMES,
    rename_clash=ErrorText(500, "Failed to update datasource"),
    rename_clash_goes_first=False,
    bad_id_has_cause=True,
    put_keeps_if_empty=frozenset({"uid", "url", "basicAuthUser", "database"}),
    file_secrets=FileSecrets.REPLACE_IF_ANY,
    file_version_counts=False,
    prunes=False,
    shows_blanked_secrets=True,
    shows_url_in_errors=True,
    shows_plugin_of_one=False,
    shows_api_version=False,
    keeps_decrypted_secrets=True,
    proxies_authorization=True,
    shows_legacy_passwords=True,
    proxy_path=r"^/api/datasources/proxy/\d+/?",
)
_9_4 = Version(
    name="9.4.0-pre",
    commit="NA",
    plugins=_OLD_PLUGINS,
    url_required=_URL_REQUIRED | {"postgres"},
    correlations=CorrelationRules.TYPE_IN_CONFIG,
    has_uid_routes=True,
    account_errors=_OLD_ACCOUNT_ERRORS,
    has_role_none=False,
    has_permission_list=True,
    has_query_message_ids=True,
    only_admins_read=False,
    has_plugin_message_ids=False,
    names_missing_permission=True,
    checks_org_of_token=False,
    checks_org_membership=False,
    unauthorized=_old_unauthorized("", deleted_token=500),
    trace_id="",
    context_trace_id="",
    makes_names=False,
    limits_names_urls_and_uids=False,
    first_is_default=False,
    guards_team_headers=False,
    other_uid=OtherUid.RENAMES,
    rename_clash=ErrorText(500, "Failed to update datasource"),
    rename_clash_goes_first=False,
    bad_id_has_cause=False,
    put_keeps_if_empty=frozenset({"uid", "url", "basicAuthUser"}),
    file_secrets=FileSecrets.ADD,
    file_version_counts=False,
    prunes=False,
    shows_blanked_secrets=False,
    shows_url_in_errors=False,
    shows_plugin_of_one=False,
    shows_api_version=False,
    keeps_decrypted_secrets=False,
    proxies_authorization=False,
    shows_legacy_passwords=False,
    # Without the hyphen: the rest of such a uid stays in front of the path.
    proxy_path=r"^/api/datasources/proxy/(\d+|uid/\w+)/?",
)
_12_4 = Version(
    name="12.4.0",
    commit="x",
    plugins=_NEW_PLUGINS,
    url_required=_URL_REQUIRED
    | {
        "grafana-amazonprometheus-datasource",
        "grafana-azureprometheus-datasource",
        "grafana-postgresql-datasource",
    },
    correlations=CorrelationRules.TYPE_ON_TOP,
    has_uid_routes=True,
    account_errors=_NEW_ACCOUNT_ERRORS,
    has_role_none=True,
    has_permission_list=True,
    has_query_message_ids=True,
    only_admins_read=False,
    has_plugin_message_ids=True,
    names_missing_permission=True,
    checks_org_of_token=True,
    checks_org_membership=True,
    unauthorized=_NEW_UNAUTHORIZED,
    trace_id=None,
    context_trace_id="",
    makes_names=True,
    limits_names_urls_and_uids=True,
    first_is_default=True,
    guards_team_headers=True,
    other_uid=OtherUid.FAILS,
    rename_clash=ErrorText(
        409,
        "Failed to update datasource: data source with the same name already exists",
    ),
    rename_clash_goes_first=True,
    bad_id_has_cause=False,
    put_keeps_if_empty=frozenset({"uid", "url", "basicAuthUser"}),
    file_secrets=FileSecrets.REPLACE,
    file_version_counts=True,
    prunes=True,
    shows_blanked_secrets=False,
    shows_url_in_errors=False,
    shows_plugin_of_one=True,
    shows_api_version=True,
    keeps_decrypted_secrets=False,
    proxies_authorization=False,
    shows_legacy_passwords=False,
    proxy_path=r"^/api/datasources/proxy/(\d+|uid/[\w-]+)/?",
)

VERSIONS: Mapping[str, Version] = {version.name: version for version in (_8_5, _9_4, _12_4)}
