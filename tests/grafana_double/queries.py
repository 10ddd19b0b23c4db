"""Queries, as far as they show whether a data source can be queried at all.

The test data source answers its CSV scenario; everything else is asked once, and answers nothing.
"""

import time
from collections.abc import Iterable

from aiohttp import web

from tests.grafana_double.answers import ApiError, answer, bad_request_data
from tests.grafana_double.bodies import BodyError, Fields, read
from tests.grafana_double.calls import Call, Route
from tests.grafana_double.health import ask
from tests.grafana_double.state import DataSource
from tests.grafana_double.versions import JsonObject, Plugin

_CSV_SCENARIO = "csv_metric_values"
_RANGE_MILLISECONDS = 300_000


async def _query(call: Call) -> web.Response:
    fields = await read(call.request)
    try:
        queries = fields.groups("queries") or []
        found = [_source(call, query) for query in queries]
    except BodyError as error:
        raise bad_request_data() from error
    if not found:
        raise _query_error(call, "No queries found", "noQueries")
    results: dict[str, JsonObject] = {}
    for query, source in zip(queries, found, strict=True):
        results[query.text("refId") or "A"] = await _result(call, query, source)
    failed = any("error" in result for result in results.values())
    return answer({"results": results}, 400 if failed else 200)


def _query_error(call: Call, message: str, message_id: str) -> ApiError:
    shown = f"query.{message_id}" if call.version.has_query_message_ids else ""
    return ApiError(400, message, has_cause=True, message_id=shown)


def _source(call: Call, query: Fields) -> DataSource:
    uid = (query.group("datasource") or Fields({})).text("uid")
    if not uid:
        raise _query_error(
            call, "Query does not contain a valid data source identifier", "invalidDatasourceId"
        )
    source = call.connections.lookups.with_uid(call.org, uid, fresh=call.skips_cache)
    if source is None:
        raise ApiError(404, "Data source not found", has_cause=True)
    return source


async def _result(call: Call, query: Fields, source: DataSource) -> JsonObject:
    plugin = call.version.plugin(source.type)
    if plugin is None:
        raise _no_plugin(call)
    with_status = call.version.has_query_message_ids
    if _is_test_data(plugin) and query.text("scenarioId") == _CSV_SCENARIO:
        frames = [_csv_frame(query.text("refId"), query.text("stringInput").split(","))]
        return {"frames": frames} | ({"status": 200} if with_status else {})
    url = f"{source.url.rstrip('/')}/api/v1/query_range"
    if not (error := await ask(call, source, "POST", url, f"query={query.text('expr')}")):
        return {"frames": []} | ({"status": 200} if with_status else {})
    if call.version.has_plugin_message_ids:
        return {"error": error, "errorSource": "downstream", "status": 502, "frames": []}
    if with_status:
        message_id = "plugin.downstreamError"
        message = "An error occurred within the plugin"
        raise ApiError(500, message, has_cause=True, message_id=message_id)
    return {"error": error}


def _no_plugin(call: Call) -> ApiError:
    if not call.version.has_query_message_ids:
        return ApiError(404, "Plugin not found", has_cause=True)
    message = "Plugin not registered" if call.version.has_plugin_message_ids else "Not found"
    return ApiError(404, message, has_cause=True, message_id="plugin.notRegistered")


def _is_test_data(plugin: Plugin) -> bool:
    return "testdata" in {plugin.id, *plugin.aliases}


def _csv_frame(ref_id: str, values: Iterable[str]) -> JsonObject:
    numbers = [int(value) for value in values if value.strip().isdecimal()]
    now = int(time.time() * 1000)
    step = _RANGE_MILLISECONDS // max(1, len(numbers) - 1)
    times = [now - step * before for before in reversed(range(len(numbers)))]
    time_field = {"name": "time", "type": "time", "typeInfo": {"frame": "time.Time"}}
    value_field = {
        "name": f"{ref_id}-series",
        "type": "number",
        "typeInfo": {"frame": "int64", "nullable": True},
    }
    return {
        "schema": {"refId": ref_id, "fields": [time_field, value_field]},
        "data": {"values": [times, numbers]},
    }


ROUTES = [Route("POST", "/api/ds/query", "datasources:query", _query)]
