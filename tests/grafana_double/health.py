"""The health of a data source, and the resources of its plugin."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.grafana_double.answers import ApiError, EarlyApiError, answer
from tests.grafana_double.bodies import path_integer
from tests.grafana_double.calls import REST, Call, Route, with_uid_routes
from tests.grafana_double.state import DataSource
from tests.grafana_double.validation import UID

_OK, _ERROR, _UNKNOWN = "OK", "ERROR", "UNKNOWN"
_TIMEOUT = aiohttp.ClientTimeout(total=10)


# --- health -------------------------------------------------------------------------------------


async def _health_by_uid(call: Call) -> web.Response:
    uid = call.path_part("uid")
    if not UID.fullmatch(uid):
        raise ApiError(400, "UID is invalid")
    found = call.connections.lookups.with_uid(call.org, uid, fresh=call.skips_cache)
    return await _health(call, found)


async def _health_by_id(call: Call) -> web.Response:
    number = path_integer(call.path_part("id"))
    if number is None:
        raise ApiError(400, "id is invalid")
    found = call.connections.lookups.with_id(call.org, number, fresh=call.skips_cache)
    return await _health(call, found)


async def _health(call: Call, source: DataSource | None) -> web.Response:
    if source is None:
        raise ApiError(500, "Unable to load datasource metadata", has_cause=True)
    new_errors = call.version.has_plugin_message_ids
    plugin = call.version.plugin(source.type)
    if plugin is None and new_errors:
        raise ApiError(404, "Plugin not registered", message_id="plugin.notRegistered")
    if plugin is None:
        raise ApiError(500, "Unable to find datasource plugin")
    if plugin.health == "unavailable":
        message_id = "plugin.unavailable" if new_errors else ""
        status = 500 if new_errors else 503
        raise ApiError(status, "Plugin unavailable", has_cause=True, message_id=message_id)
    if plugin.health == "fails":
        message_id = "plugin.healthCheck" if new_errors else ""
        message = "Plugin health check failed"
        raise ApiError(500, message, has_cause=True, message_id=message_id)
    if not plugin.health:
        raise ApiError(404, "Not found", has_cause=True)
    found = await PROBES[plugin.health](call, source)
    body = {"status": found.status, "message": found.message}
    return answer(body, 200 if found.status == _OK else 400)


@dataclass(frozen=True)
class _Health:
    status: str
    message: str


async def _always_ok(_call: Call, _source: DataSource) -> _Health:
    return _Health(_OK, "Data source is working")


async def _any_answer(call: Call, source: DataSource) -> _Health:
    error = await ask(call, source, "GET", source.url)
    return _Health(_ERROR if error else _OK, error or "Data source is working")


async def _prometheus(call: Call, source: DataSource) -> _Health:
    url = f"{source.url.rstrip('/')}/api/v1/query"
    if error := await ask(call, source, "POST", url, "query=1%2B1"):
        problem = "There was an error returned querying the Prometheus API."
        return _Health(_ERROR, f"{error} - {problem}")
    return _Health(_OK, "Successfully queried the Prometheus API.")


async def _loki(call: Call, source: DataSource) -> _Health:
    url = f"{source.url.rstrip('/')}/loki/api/v1/query?query=vector(1)%2Bvector(1)"
    if await ask(call, source, "GET", url):
        problem = "Unable to connect with Loki. Please check the server logs for more details."
        return _Health(_ERROR, problem)
    return _Health(_OK, "Data source successfully connected.")


async def _elasticsearch(call: Call, source: DataSource) -> _Health:
    if await ask(call, source, "GET", source.url):
        return _Health(_UNKNOWN, "Health check failed: Failed to get data source info")
    return _Health(_OK, "Elasticsearch data source is healthy.")


PROBES: Mapping[str, Callable[[Call, DataSource], Awaitable[_Health]]] = {
    "ok": _always_ok,
    "http": _any_answer,
    "prometheus": _prometheus,
    "loki": _loki,
    "elasticsearch": _elasticsearch,
}


async def ask(call: Call, source: DataSource, method: str, url: str, body: str = "") -> str:
    """What went wrong in the words of Go's HTTP client; empty if nothing did."""
    headers = CIMultiDict({"Content-Type": "application/x-www-form-urlencoded"} if body else {})
    call.connections.plugins.transport(source).apply(headers)
    try:
        async with call.connections.session.request(
            method, URL(url, encoded=True), headers=headers, data=body or None, timeout=_TIMEOUT
        ) as upstream:
            return "" if upstream.ok else f"client error: {upstream.status}"
    except aiohttp.ClientConnectorError as error:
        address = f"{error.host}:{error.port}"
        problem = f"dial tcp {address}: connect: connection refused"
    except (aiohttp.ClientError, OSError) as error:
        problem = str(error)
    except TimeoutError:
        problem = "context deadline exceeded"
    return f'{method.title()} "{url}": {problem}'


# --- resources ----------------------------------------------------------------------------------


async def _resources_by_uid(call: Call) -> web.Response:
    uid = call.path_part("uid")
    if not UID.fullmatch(uid):
        raise EarlyApiError.because(400, "UID is invalid")
    found = call.connections.lookups.with_uid(call.org, uid, fresh=call.skips_cache)
    return _resources(call, found)


async def _resources_by_id(call: Call) -> web.Response:
    number = path_integer(call.path_part("id"))
    if number is None:
        raise EarlyApiError.because(400, "id is invalid")
    found = call.connections.lookups.with_id(call.org, number, fresh=call.skips_cache)
    return _resources(call, found)


def _resources(call: Call, source: DataSource | None) -> web.Response:
    """No plugin of the double has resources; every call fails inside of it."""
    if source is None:
        raise EarlyApiError.caused(call.version, 500, "Unable to load datasource meta data")
    if call.version.plugin(source.type) is None:
        raise EarlyApiError.because(500, "Unable to find datasource plugin")
    if call.version.has_plugin_message_ids:
        message = "An error occurred within the plugin"
        raise ApiError(500, message, message_id="plugin.requestFailureError")
    raise EarlyApiError.caused(call.version, 500, "Failed to call resource")


_QUERY = "datasources:query"
_BY_UID, _BY_ID = "/api/datasources/uid/{uid}", "/api/datasources/{id}"
ROUTES = [
    Route("*", f"{_BY_UID}/health", _QUERY, _health_by_uid, with_uid_routes),
    Route("*", f"{_BY_UID}/resources", _QUERY, _resources_by_uid, with_uid_routes),
    Route("*", f"{_BY_UID}/resources{REST}", _QUERY, _resources_by_uid, with_uid_routes),
    Route("*", f"{_BY_ID}/health", _QUERY, _health_by_id),
    Route("*", f"{_BY_ID}/resources", _QUERY, _resources_by_id),
    Route("*", f"{_BY_ID}/resources{REST}", _QUERY, _resources_by_id),
]
