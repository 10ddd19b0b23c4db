"""The body of a POST or PUT of a data source, and what of it Grafana refuses at once."""

import json
from dataclasses import dataclass

from tests.grafana_double.answers import ApiError, bad_request_data
from tests.grafana_double.bodies import BodyError, Fields
from tests.grafana_double.validation import is_name_too_long, is_url_too_long, is_valid_url
from tests.grafana_double.versions import Version

TEAM_HEADERS = "teamHttpHeaders"
"""A key of `jsonData` that newer versions let nobody write here."""


@dataclass
class Command:
    """All of it, with what is absent as an empty value."""

    name: str
    type: str
    access: str
    uid: str
    url: str
    user: str
    database: str
    basic_auth: bool
    basic_auth_user: str
    with_credentials: bool
    is_default: bool
    json_data: object
    secrets: dict[str, str]
    api_version: str
    version: int


def command_from(fields: Fields, *, needs_name: bool, has_version: bool) -> Command:
    try:
        command = Command(
            name=fields.text("name"),
            type=fields.text("type"),
            access=fields.text("access"),
            uid=fields.text("uid"),
            url=fields.text("url"),
            user=fields.text("user"),
            database=fields.text("database"),
            basic_auth=fields.flag("basicAuth"),
            basic_auth_user=fields.text("basicAuthUser"),
            with_credentials=fields.flag("withCredentials"),
            is_default=fields.flag("isDefault"),
            json_data=fields.anything("jsonData"),
            secrets=fields.texts("secureJsonData"),
            api_version=fields.text("apiVersion"),
            version=fields.integer("version") if has_version else 0,
        )
    except BodyError as error:
        raise bad_request_data() from error
    if not command.type or not command.access or (needs_name and not command.name):
        raise bad_request_data()
    if command.json_data is None:
        command.json_data = {}
    return command


def check_url(version: Version, command: Command) -> None:
    if not is_valid_url(version, command.type, command.url):
        shown = f": {json.dumps(command.url)}" if version.shows_url_in_errors else ""
        raise ApiError(400, f"Validation error, invalid URL{shown}", has_cause=True)


def check_lengths(command: Command) -> None:
    if is_name_too_long(command.name):
        raise ApiError(400, "Invalid datasource name.", message_id="datasource.nameInvalid")
    if is_url_too_long(command.url):
        raise ApiError(400, "Invalid datasource url.", message_id="datasource.urlInvalid")


def refuse_team_headers(command: Command) -> None:
    if isinstance(command.json_data, dict) and TEAM_HEADERS in command.json_data:
        raise ApiError(
            403,
            "Cannot create datasource with team HTTP headers, "
            "need to use updateDatasourceLBACRules API",
        )
