"""Rows of data sources as they are written, by the API and from files alike."""

from tests.grafana_double.datasource_command import TEAM_HEADERS, Command
from tests.grafana_double.state import DataSource, Grafana, Organization
from tests.grafana_double.versions import Version


def new_row(grafana: Grafana, org: Organization, command: Command) -> DataSource:
    """With a new id; it is not in the organisation yet."""
    return DataSource(
        id=grafana.new_data_source_id(),
        uid=command.uid or grafana.new_uid(),
        org_id=org.id,
        name=command.name,
        type=command.type,
        access=command.access,
        url=command.url,
        user=command.user,
        database=command.database,
        basic_auth=command.basic_auth,
        basic_auth_user=command.basic_auth_user,
        with_credentials=command.with_credentials,
        is_default=command.is_default or (grafana.version.first_is_default and not len(org)),
        json_data=command.json_data,
        secrets=command.secrets,
        api_version=command.api_version,
    )


def write_row(
    org: Organization,
    source: DataSource,
    command: Command,
    version: Version,
    secrets: dict[str, str],
    *,
    read_only: bool = False,
    is_prunable: bool = False,
) -> None:
    """Over the row that is there; `secrets` are all that it has from now on."""

    def kept_if_empty(key: str, new: str, old: str) -> str:
        return old if not new and key in version.put_keeps_if_empty else new

    org.rename(source, name=command.name, uid=kept_if_empty("uid", command.uid, source.uid))
    source.type = command.type
    source.access = command.access
    source.url = kept_if_empty("url", command.url, source.url)
    source.user = command.user
    source.database = kept_if_empty("database", command.database, source.database)
    source.basic_auth = command.basic_auth
    source.basic_auth_user = kept_if_empty(
        "basicAuthUser", command.basic_auth_user, source.basic_auth_user
    )
    source.with_credentials = command.with_credentials
    if version.guards_team_headers:
        _keep_team_headers(source, command)
    source.json_data = command.json_data
    source.secrets = secrets
    source.api_version = command.api_version
    source.version = next_version(command.version)
    source.read_only = read_only
    source.is_prunable = is_prunable
    source.touch()
    org.set_default(source, command.is_default)


def next_version(version: int) -> int:
    """The largest integer is followed by the smallest."""
    return -version - 1 if version == 2**63 - 1 else version + 1


def _keep_team_headers(source: DataSource, command: Command) -> None:
    if isinstance(command.json_data, dict):
        command.json_data.pop(TEAM_HEADERS, None)
        if isinstance(source.json_data, dict) and TEAM_HEADERS in source.json_data:
            command.json_data[TEAM_HEADERS] = source.json_data[TEAM_HEADERS]
