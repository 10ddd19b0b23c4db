"""Data sources and correlations from files: applied at the start and when the API says so."""

import logging
from collections.abc import Iterable

from aiohttp import web

from tests.grafana_double import correlations
from tests.grafana_double.answers import ApiError, answer
from tests.grafana_double.bodies import BodyError
from tests.grafana_double.calls import Call, Route
from tests.grafana_double.datasource_rows import new_row, next_version, write_row
from tests.grafana_double.provisioning_files import (
    Declared,
    Named,
    ProvisioningError,
    ProvisioningFile,
    read_files,
    uid_of_name,
)
from tests.grafana_double.state import DataSource, Grafana
from tests.grafana_double.validation import is_valid_uid
from tests.grafana_double.versions import CorrelationRules, FileSecrets, OtherUid

_log = logging.getLogger("grafana_double")


def provision(grafana: Grafana) -> None:
    """Make it as the files say, in their order.

    Raises:
        ProvisioningError: something cannot be had; what was done before stays.
    """
    if grafana.files is None:
        return
    files = read_files(grafana.files, grafana.organizations)
    staying = {one.named for file in files for one in file.declared}
    if grafana.version.prunes:
        _prune(grafana, staying | {named for file in files for named in file.deleted})
    for file in files:
        for named in file.deleted:
            _delete(grafana, named, staying)
        for declared in file.declared:
            _upsert(grafana, declared)
        if grafana.version.correlations is CorrelationRules.TYPE_IN_CONFIG:
            _correlate(grafana, [file])
    if grafana.version.correlations is CorrelationRules.TYPE_ON_TOP:
        _correlate(grafana, files)


async def _reload(call: Call) -> web.Response:
    try:
        provision(call.grafana)
    except ProvisioningError as error:
        _log.error("datasource provisioning error: %s", error)
        raise ApiError(500, "Internal Server Error", has_cause=True) from error
    return answer({"message": "Datasources config reloaded"})


# --- data sources -------------------------------------------------------------------------------


def _prune(grafana: Grafana, mentioned: set[Named]) -> None:
    for org in grafana.organizations.values():
        for source in list(org):
            if source.is_prunable and Named(org.id, source.name) not in mentioned:
                _delete(grafana, Named(org.id, source.name), set())


def _delete(grafana: Grafana, named: Named, staying: set[Named]) -> None:
    """Also what is read-only; correlations stay where the data source comes again."""
    org = grafana.organizations.get(named.org_id)
    source = org.with_name(named.name) if org is not None else None
    if org is None or source is None:
        return
    org.remove(source)
    if named not in staying or grafana.version.correlations is CorrelationRules.TYPE_IN_CONFIG:
        correlations.data_source_deleted(grafana, source)


def _upsert(grafana: Grafana, declared: Declared) -> None:
    """A data source is known by its name."""
    org = grafana.organizations[declared.named.org_id]
    source = org.with_name(declared.named.name)
    command, uid = declared.command, declared.command.uid
    holder = org.with_uid(uid or uid_of_name(command.name))
    if source is None:
        if grafana.version.limits_names_urls_and_uids and not is_valid_uid(uid):
            raise ProvisioningError(f"invalid UID for datasource {command.name}")
        if holder is not None:
            raise ProvisioningError("data source with the same uid already exists")
        command.uid = uid or uid_of_name(command.name)
        source = new_row(grafana, org, command)
        source.read_only, source.is_prunable = declared.read_only, declared.is_prunable
        org.add(source)
        return
    if uid and holder is not source:
        if grafana.version.other_uid is OtherUid.FAILS:
            raise ProvisioningError("data source not found")
        if holder is not None:
            raise ProvisioningError("UNIQUE constraint failed: data_source.uid")
    _update(grafana, source, declared)


def _update(grafana: Grafana, source: DataSource, declared: Declared) -> None:
    version, command = grafana.version, declared.command
    if not version.file_version_counts:
        command.version = 0
    if command.version and source.version >= next_version(command.version):
        return  # an old version is ignored
    write_row(
        grafana.organizations[source.org_id],
        source,
        command,
        version,
        _secrets(version.file_secrets, source.secrets, command.secrets),
        read_only=declared.read_only,
        is_prunable=declared.is_prunable and version.prunes,
    )


def _secrets(rule: FileSecrets, old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    if rule is FileSecrets.ADD:
        return {**old, **new}
    return new if new or rule is FileSecrets.REPLACE else old


# --- correlations -------------------------------------------------------------------------------


def _correlate(grafana: Grafana, files: Iterable[ProvisioningFile]) -> None:
    is_old = grafana.version.correlations is CorrelationRules.TYPE_IN_CONFIG
    for declared in (one for file in files for one in file.declared):
        source = grafana.organizations[declared.named.org_id].with_name(declared.named.name)
        assert source is not None
        # Older versions forget those of users too, but only where the file has others.
        if declared.correlations or not is_old:
            grafana.correlations.remove(
                one
                for one in grafana.correlations.of_source(source.uid)
                if is_old or (one.provisioned and one.org_id == source.org_id)
            )
        for raw in declared.correlations:
            _correlate_one(grafana, source, raw)


def _correlate_one(grafana: Grafana, source: DataSource, raw: dict[str, object]) -> None:
    try:
        made = correlations.from_file(grafana, source, raw)
    except BodyError as error:
        raise ProvisioningError(f"correlation of {source.name}: {error}") from error
    target = made.target_uid
    if target is not None and grafana.organizations[source.org_id].with_uid(target) is None:
        raise ProvisioningError(f"correlation of {source.name}: no data source {target}")
    for one in grafana.correlations.of_source(source.uid):
        if made.provisioned and one.says_the_same(made):
            one.provisioned = True
            grafana.correlations.keep(one)
            return
    grafana.correlations.add(made)


ROUTES = [
    Route("POST", "/api/admin/provisioning/datasources/reload", "provisioning:reload", _reload)
]
