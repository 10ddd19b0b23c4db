"""Data sources: read, create, update, delete."""

from aiohttp import web

from tests.grafana_double import correlations
from tests.grafana_double.answers import ApiError, EarlyApiError, answer
from tests.grafana_double.bodies import path_integer, read
from tests.grafana_double.calls import Call, Route, with_uid_routes
from tests.grafana_double.datasource_command import (
    Command,
    check_lengths,
    check_url,
    command_from,
    refuse_team_headers,
)
from tests.grafana_double.datasource_rows import new_row, next_version, write_row
from tests.grafana_double.datasource_view import changed, listed, shown
from tests.grafana_double.state import DataSource, Organization
from tests.grafana_double.validation import is_valid_uid
from tests.grafana_double.versions import OtherUid, Version

# --- reading ------------------------------------------------------------------------------------


async def _list(call: Call) -> web.Response:
    # Grafana cuts the list in the database's order, and only then sorts it for people.
    kept = sorted(call.org, key=lambda source: source.name.encode())
    kept = kept[: call.grafana.limits.listed_data_sources]
    kept.sort(key=lambda source: source.name.lower())
    return answer([listed(source, call.version) for source in kept])


async def _get_by_id(call: Call) -> web.Response:
    number = path_integer(call.path_part("id"))
    if number is None:
        raise ApiError(400, "id is invalid", has_cause=call.version.bad_id_has_cause)
    if number == 0:
        raise ApiError(400, "Datasource id is missing")
    return answer(shown(_found(call.org.with_id(number)), call.version))


async def _get_by_uid(call: Call) -> web.Response:
    return answer(shown(_by_uid(call), call.version))


async def _get_by_name(call: Call) -> web.Response:
    return answer(shown(_by_name(call), call.version))


async def _get_id_by_name(call: Call) -> web.Response:
    return answer({"id": _by_name(call).id})


def _found(source: DataSource | None) -> DataSource:
    if source is None:
        raise ApiError(404, "Data source not found")
    return source


def _by_uid(call: Call) -> DataSource:
    return _found(call.org.with_uid(call.path_part("uid")))


def _by_name(call: Call) -> DataSource:
    return _found(call.org.with_name(call.path_part("name")))


# --- writing ------------------------------------------------------------------------------------


async def _create(call: Call) -> web.Response:
    version, org = call.version, call.org
    quota = call.grafana.limits.data_sources_per_org
    if quota is not None and len(org) >= quota:
        raise EarlyApiError.because(403, "data_source Quota reached")
    fields = await read(call.request)
    command = command_from(fields, needs_name=not version.makes_names, has_version=False)
    if command.url:
        check_url(version, command)
    if version.guards_team_headers:
        refuse_team_headers(command)
    command.name = command.name or _free_name(org, command.type)
    if version.limits_names_urls_and_uids:
        check_lengths(command)
    _refuse_taken(org, command, version)
    source = new_row(call.grafana, org, command)
    org.add(source)
    return changed(source, version, "Datasource added")


def _free_name(org: Organization, data_source_type: str) -> str:
    taken = {source.name.lower() for source in org}
    name, number = data_source_type, 0
    while name.lower() in taken:
        number += 1
        name = f"{data_source_type}-{number}"
    return name


def _refuse_taken(org: Organization, command: Command, version: Version) -> None:
    if org.with_name(command.name) is not None:
        raise ApiError(409, "data source with the same name already exists", has_cause=True)
    if version.limits_names_urls_and_uids and not is_valid_uid(command.uid):
        raise ApiError(400, "Invalid datasource UID.", message_id="datasource.uidInvalid")
    if org.with_uid(command.uid) is not None:
        raise ApiError(409, "data source with the same uid already exists", has_cause=True)


async def _update_by_uid(call: Call) -> web.Response:
    fields = await read(call.request)
    command = command_from(fields, needs_name=True, has_version=True)
    check_url(call.version, command)
    return _update(call, _by_uid(call), command)


async def _update_by_id(call: Call) -> web.Response:
    fields = await read(call.request)
    command = command_from(fields, needs_name=True, has_version=True)
    number = path_integer(call.path_part("id"))
    if number is None:
        raise ApiError(400, "id is invalid", has_cause=True)
    check_url(call.version, command)
    if number == 0:
        raise ApiError(500, "Failed to update datasource", has_cause=True)
    return _update(call, _found(call.org.with_id(number)), command)


def _update(call: Call, source: DataSource, command: Command) -> web.Response:
    version, org = call.version, call.org
    if source.read_only:
        raise ApiError(403, "Cannot update read-only data source")
    if version.other_uid is OtherUid.FAILS and command.uid not in {"", source.uid}:
        raise ApiError(500, "Failed to update datasource", has_cause=True)
    if version.limits_names_urls_and_uids:
        check_lengths(command)
    clash = ApiError.worded(version.rename_clash)
    has_clash = org.with_name(command.name) not in {None, source}
    if has_clash and version.rename_clash_goes_first:
        raise clash
    if command.version and source.version >= next_version(command.version):
        raise ApiError(
            409,
            "Datasource has already been updated by someone else. Please reload and try again",
            has_cause=True,
        )
    if has_clash:
        raise clash
    if org.with_uid(command.uid) not in {None, source}:
        raise ApiError(500, "Failed to update datasource", has_cause=True)
    write_row(org, source, command, version, {**source.secrets, **command.secrets})
    return changed(source, version, "Datasource updated")


# --- deleting -----------------------------------------------------------------------------------


async def _delete_by_uid(call: Call) -> web.Response:
    source = _by_uid(call)
    _delete(call, source)
    return answer({"id": source.id, "message": "Data source deleted"})


async def _delete_by_name(call: Call) -> web.Response:
    source = _by_name(call)
    _delete(call, source)
    return answer({"id": source.id, "message": "Data source deleted"})


async def _delete_by_id(call: Call) -> web.Response:
    number = path_integer(call.path_part("id"))
    if number is None:
        raise ApiError(400, "id is invalid", has_cause=True)
    if number <= 0:
        raise ApiError(400, "Missing valid datasource id")
    _delete(call, _found(call.org.with_id(number)))
    return answer({"message": "Data source deleted"})


def _delete(call: Call, source: DataSource) -> None:
    if source.read_only:
        raise ApiError(403, "Cannot delete read-only data source")
    call.org.remove(source)
    correlations.data_source_deleted(call.grafana, source)


ROUTES = [
    Route("GET", "/api/datasources", "datasources:read", _list),
    Route("POST", "/api/datasources", "datasources:create", _create),
    Route("GET", "/api/datasources/uid/{uid}", "datasources:read", _get_by_uid),
    Route(
        "PUT", "/api/datasources/uid/{uid}", "datasources:write", _update_by_uid, with_uid_routes
    ),
    Route("DELETE", "/api/datasources/uid/{uid}", "datasources:delete", _delete_by_uid),
    Route("GET", "/api/datasources/name/{name}", "datasources:read", _get_by_name),
    Route("DELETE", "/api/datasources/name/{name}", "datasources:delete", _delete_by_name),
    Route("GET", "/api/datasources/id/{name}", "datasources.id:read", _get_id_by_name),
    Route("GET", "/api/datasources/{id}", "datasources:read", _get_by_id),
    Route("PUT", "/api/datasources/{id}", "datasources:write", _update_by_id),
    Route("DELETE", "/api/datasources/{id}", "datasources:delete", _delete_by_id),
]
