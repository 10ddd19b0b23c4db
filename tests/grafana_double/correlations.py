"""Correlations in their two shapes, and what becomes of them when a data source is deleted."""

from collections.abc import Iterable

from aiohttp import web

from tests.grafana_double.answers import ApiError, answer, bad_request_data
from tests.grafana_double.bodies import BodyError, Fields, path_integer, read
from tests.grafana_double.calls import Call, Route
from tests.grafana_double.state import Correlation, DataSource, Grafana
from tests.grafana_double.versions import CorrelationRules, JsonObject, Version

_QUERY, _EXTERNAL = "query", "external"
_PAGE_SIZE, _MAX_PAGE_SIZE = 100, 1000


def _is_old(version: Version) -> bool:
    return version.correlations is CorrelationRules.TYPE_IN_CONFIG


def _exist(version: Version) -> bool:
    return version.correlations is not None


# --- what is shown ------------------------------------------------------------------------------


def _shown(correlation: Correlation, version: Version) -> JsonObject:
    config: JsonObject = {"field": correlation.field, "target": correlation.target}
    shown: JsonObject = {
        "uid": correlation.uid,
        "sourceUID": correlation.source_uid,
        "targetUID": correlation.target_uid,
        "label": correlation.label,
        "description": correlation.description,
        "config": config,
    }
    if _is_old(version):
        config["type"] = _QUERY
        return shown
    if correlation.transformations:
        config["transformations"] = correlation.transformations
    return shown | {
        "orgId": correlation.org_id,
        "provisioned": correlation.provisioned,
        "type": correlation.type,
    }


def _visible(call: Call, candidates: Iterable[Correlation]) -> list[Correlation]:
    """Grafana joins with the data sources of the asking organisation."""
    return [correlation for correlation in candidates if _is_visible(call, correlation)]


def _is_visible(call: Call, correlation: Correlation) -> bool:
    if call.org.with_uid(correlation.source_uid) is None:
        return False
    has_target = call.org.with_uid(correlation.target_uid or "") is not None
    if _is_old(call.version):
        return has_target
    is_shown = correlation.type == _EXTERNAL or (correlation.type == _QUERY and has_target)
    return is_shown and correlation.org_id == call.org.id


# --- reading ------------------------------------------------------------------------------------


async def _list_all(call: Call) -> web.Response:
    version = call.version
    visible = _visible(call, call.grafana.correlations)
    if _is_old(version):
        # The database goes through the data sources, and only then through their correlations.
        visible.sort(key=lambda correlation: correlation.source_uid.encode())
        return answer([_shown(correlation, version) for correlation in visible])
    if wanted := call.request.query.getall("sourceUID", []):
        visible = [correlation for correlation in visible if correlation.source_uid in wanted]
    limit = _query_integer(call, "limit", _PAGE_SIZE, _MAX_PAGE_SIZE)
    page = _query_integer(call, "page", 1)
    first = limit * (page - 1)
    return answer(
        {
            "correlations": [_shown(one, version) for one in visible[first : first + limit]],
            # Of all organisations, and without regard to the filter.
            "totalCount": len(call.grafana.correlations),
            "page": page,
            "limit": limit,
        }
    )


def _query_integer(call: Call, key: str, default: int, largest: int | None = None) -> int:
    number = path_integer(call.request.query.get(key, "")) or 0
    if number <= 0:
        return default
    return number if largest is None else min(number, largest)


async def _list_of_source(call: Call) -> web.Response:
    source_uid = call.path_part("uid")
    if call.org.with_uid(source_uid) is None:
        raise ApiError(404, "Source data source not found", has_cause=True)
    visible = _visible(call, call.grafana.correlations.of_source(source_uid))
    return answer([_shown(correlation, call.version) for correlation in visible])


async def _get(call: Call) -> web.Response:
    source_uid = call.path_part("uid")
    if call.org.with_uid(source_uid) is None:
        raise ApiError(404, "Source data source not found", has_cause=True)
    correlation = call.grafana.correlations.get(source_uid, call.path_part("correlation"))
    if correlation is None or not _is_visible(call, correlation):
        raise _correlation_not_found()
    return answer(_shown(correlation, call.version))


def _correlation_not_found() -> ApiError:
    return ApiError(404, "Correlation not found", has_cause=True)


# --- writing ------------------------------------------------------------------------------------


async def _create(call: Call) -> web.Response:
    fields = await read(call.request)
    try:
        correlation = _requested(call, fields)
    except BodyError as error:
        raise bad_request_data() from error
    _writable_source(call)
    target_uid = correlation.target_uid
    if target_uid is not None and call.org.with_uid(target_uid) is None:
        raise ApiError(404, "Data source not found", has_cause=True)
    call.grafana.correlations.add(correlation)
    return answer({"result": _shown(correlation, call.version), "message": "Correlation created"})


def _requested(call: Call, fields: Fields) -> Correlation:
    old = _is_old(call.version)
    config = fields.group("config") or Fields({})
    config_type = config.text("type")
    correlation = Correlation(
        uid=call.grafana.new_uid(),
        org_id=call.org.id,
        source_uid=call.path_part("uid"),
        target_uid=fields.optional_text("targetUID"),
        type=config_type if old else fields.text("type"),
        label=fields.text("label"),
        description=fields.text("description"),
        field=config.text("field"),
        target=config.object("target") or {},
        transformations=[] if old else _transformations(config) or [],
        provisioned=not old and fields.flag("provisioned"),
    )
    _check_type(correlation, old=old)
    if not old and config_type not in {"", _QUERY}:
        raise ApiError(500, "Failed to add correlation", has_cause=True)
    if config_type == _QUERY:
        # The deprecated place of the type wins over the new one.
        correlation.type = _QUERY
    return correlation


def from_file(grafana: Grafana, source: DataSource, raw: dict[str, object]) -> Correlation:
    """As a provisioning file declares it."""
    old = _is_old(grafana.version)
    fields = Fields(raw)
    config = fields.group("config") or Fields({"type": _QUERY})
    config_type = config.text("type")
    if not old and (config_type not in {"", _QUERY} or "transformations" in raw):
        raise BodyError("config.type or transformations in a wrong place")
    if not all(isinstance(raw.get(key), str) for key in ("label", "description")):
        raise BodyError("label or description is missing")
    is_external = not old and raw.get("type") == _EXTERNAL
    correlation = Correlation(
        uid=grafana.new_uid(),
        org_id=source.org_id,
        source_uid=source.uid,
        target_uid=fields.optional_text("targetUID"),
        type=config_type if old else _EXTERNAL if is_external else _QUERY,
        label=fields.text("label"),
        description=fields.text("description"),
        field=config.text("field"),
        target=config.object("target") or {},
        transformations=[] if old else _transformations(config) or [],
        provisioned=not old,
    )
    _check_type(correlation, old=old)
    return correlation


def _check_type(correlation: Correlation, *, old: bool) -> None:
    if correlation.type not in ({_QUERY} if old else {_QUERY, _EXTERNAL}):
        raise BodyError("unknown type")
    if correlation.type == _QUERY and correlation.target_uid is None:
        raise BodyError("a query has no target")
    for transformation in correlation.transformations:
        if transformation["type"] not in {"regex", "logfmt"}:
            raise BodyError("unknown transformation")
        if transformation["type"] == "regex" and "expression" not in transformation:
            raise BodyError("a regex has no expression")


def _transformations(config: Fields) -> list[dict[str, str]] | None:
    groups = config.groups("transformations")
    if groups is None:
        return None
    optional = ("expression", "field", "mapValue")
    return [
        {"type": group.text("type")}
        | {key: value for key in optional if (value := group.text(key))}
        for group in groups
    ]


def _writable_source(call: Call) -> DataSource:
    source = call.org.with_uid(call.path_part("uid"))
    if source is None:
        raise ApiError(404, "Data source not found", has_cause=True)
    if source.read_only and _is_old(call.version):
        raise ApiError(403, "Data source is read only", has_cause=True)
    return source


async def _patch(call: Call) -> web.Response:
    fields = await read(call.request)
    try:
        change = _Change(fields, call.version)
    except BodyError as error:
        raise bad_request_data() from error
    if change.is_empty:
        message = "At least one of label, description or config is required"
        raise ApiError(400, message, has_cause=True)
    source = _writable_source(call)
    # Without the join of the reads: a hidden correlation can be patched.
    correlation = call.grafana.correlations.get(source.uid, call.path_part("correlation"))
    if correlation is None or not _belongs(call, correlation):
        raise _correlation_not_found()
    _refuse_provisioned(call, correlation)
    change.apply(correlation)
    call.grafana.correlations.keep(correlation)
    return answer({"result": _shown(correlation, call.version), "message": "Correlation updated"})


class _Change:
    """The body of a PATCH: what is absent or null stays as it is."""

    def __init__(self, fields: Fields, version: Version) -> None:
        config = fields.group("config") or Fields({})
        old = _is_old(version)
        self.label = fields.optional_text("label")
        self.description = fields.optional_text("description")
        self.type = None if old else fields.optional_text("type")
        self.field = config.optional_text("field")
        self.target = config.object("target")
        self.transformations = None if old else _transformations(config)
        config_type = config.optional_text("type") if old else None
        if config_type not in {None, _QUERY}:
            raise BodyError("unknown type")
        # Transformations alone do not count.
        counting = (self.label, self.description, self.type, self.field, self.target, config_type)
        self.is_empty = all(value is None for value in counting)

    def apply(self, correlation: Correlation) -> None:
        for name in ("label", "description", "type", "field", "target", "transformations"):
            if (value := getattr(self, name)) is not None:
                setattr(correlation, name, value)


def _belongs(call: Call, correlation: Correlation) -> bool:
    return _is_old(call.version) or correlation.org_id == call.org.id


def _refuse_provisioned(call: Call, correlation: Correlation) -> None:
    if correlation.provisioned and not _is_old(call.version):
        raise ApiError(403, "Correlation can only be edited via provisioning", has_cause=True)


# --- deleting -----------------------------------------------------------------------------------


async def _delete(call: Call) -> web.Response:
    source = _writable_source(call)
    correlation = call.grafana.correlations.get(source.uid, call.path_part("correlation"))
    # With the join of the reads in newer versions: a hidden correlation cannot be deleted.
    if correlation is None or not (_is_old(call.version) or _is_visible(call, correlation)):
        raise _correlation_not_found()
    _refuse_provisioned(call, correlation)
    call.grafana.correlations.remove([correlation])
    return answer({"message": "Correlation deleted"})


def data_source_deleted(grafana: Grafana, source: DataSource) -> None:
    """Older versions delete by source and target in all organisations, newer ones by source."""
    correlations = grafana.correlations
    if _is_old(grafana.version):
        correlations.remove(correlations.of_source(source.uid))
        correlations.remove(one for one in correlations if one.target_uid == source.uid)
        return
    correlations.remove(
        one for one in correlations.of_source(source.uid) if one.org_id == source.org_id
    )


_OF_SOURCE = "/api/datasources/uid/{uid}/correlations"
_ONE = f"{_OF_SOURCE}/{{correlation}}"
ROUTES = [
    Route("GET", "/api/datasources/correlations", "datasources:read", _list_all, _exist),
    Route("GET", _OF_SOURCE, "datasources:read", _list_of_source, _exist),
    Route("POST", _OF_SOURCE, "datasources:write", _create, _exist),
    Route("GET", _ONE, "datasources:read", _get, _exist),
    Route("PATCH", _ONE, "datasources:write", _patch, _exist),
    Route("DELETE", _ONE, "datasources:write", _delete, _exist),
]
