"""The proxy: `/api/datasources/proxy/…` forwards to the back end with the stored credentials."""

import re

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.grafana_double.answers import EarlyApiError
from tests.grafana_double.backends import basic
from tests.grafana_double.bodies import path_integer
from tests.grafana_double.calls import REST, Call, Route, with_uid_routes
from tests.grafana_double.state import DataSource
from tests.grafana_double.validation import UID, is_valid_url

_NOT_FORWARDED = frozenset(
    {
        "connection",
        "content-length",
        "cookie",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_TIMEOUT = aiohttp.ClientTimeout(total=30)


async def _by_uid(call: Call) -> web.StreamResponse:
    uid = call.path_part("uid")
    if not UID.fullmatch(uid):
        raise EarlyApiError.because(400, "UID is invalid")
    found = call.connections.lookups.with_uid(call.org, uid, fresh=call.skips_cache)
    return await _proxy(call, found)


async def _by_id(call: Call) -> web.StreamResponse:
    number = path_integer(call.path_part("id"))
    if number is None:
        raise EarlyApiError.caused(call.version, 400, "id is invalid")
    found = call.connections.lookups.with_id(call.org, number, fresh=call.skips_cache)
    return await _proxy(call, found)


async def _proxy(call: Call, source: DataSource | None) -> web.StreamResponse:
    if source is None:
        raise EarlyApiError.caused(call.version, 404, "Unable to find datasource")
    if call.version.plugin(source.type) is None:
        raise EarlyApiError.because(404, "Unable to find datasource plugin")
    if not is_valid_url(call.version, source.type, source.url):
        message = f'Invalid data source URL: "{source.url}"'
        raise EarlyApiError.caused(call.version, 400, message)
    try:
        return await _forward(call, source)
    except TimeoutError:
        return _empty(504)
    except (aiohttp.ClientError, OSError):
        return _empty(502)


def _empty(status: int) -> web.Response:
    return web.Response(status=status)


async def _forward(call: Call, source: DataSource) -> web.StreamResponse:
    request = call.request
    upstream = await call.connections.session.request(
        request.method,
        _target(call, source),
        headers=_headers(call, source),
        data=await request.read() or None,
        skip_auto_headers=("Content-Type",),
        allow_redirects=False,
        timeout=_TIMEOUT,
    )
    async with upstream:
        body = await upstream.read()
    if upstream.status == 401:
        return web.Response(status=400, text="Authentication to data source failed")
    headers = _forwarded(upstream.headers)
    return web.Response(status=upstream.status, body=body, headers=headers)


def _target(call: Call, source: DataSource) -> URL:
    base = source.url if "://" in source.url else f"http://{source.url}"
    path, _, query = call.request.raw_path.partition("?")
    rest = re.sub(call.version.proxy_path, "", path)
    joined = base.rstrip("/") + "/" + rest.lstrip("/") if rest else base
    return URL(f"{joined}?{query}" if query else joined, encoded=True)


def _headers(call: Call, source: DataSource) -> CIMultiDict[str]:
    headers = _forwarded(call.request.headers)
    if not call.version.proxies_authorization:
        headers.popall("Authorization", None)
    headers["User-Agent"] = f"Grafana/{call.version.name}"
    proxied = call.connections.proxied
    if source.basic_auth:
        # Not from the transport: where secrets are not kept, a new password is never stuck.
        password = proxied.secrets(source).get("basicAuthPassword", "")
        headers["Authorization"] = basic(source.basic_auth_user, password)
    if given := headers.popall("X-DS-Authorization", None):
        headers["Authorization"] = given[0]
    proxied.transport(source).apply(headers)
    return headers


def _forwarded(headers: "CIMultiDict[str] | aiohttp.typedefs.LooseHeaders") -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value)
        for name, value in CIMultiDict(headers).items()
        if name.lower() not in _NOT_FORWARDED
    )


ROUTES = [
    Route("*", "/api/datasources/proxy/uid/{uid}", "datasources:query", _by_uid, with_uid_routes),
    Route(
        "*",
        f"/api/datasources/proxy/uid/{{uid}}{REST}",
        "datasources:query",
        _by_uid,
        with_uid_routes,
    ),
    Route("*", "/api/datasources/proxy/{id}", "datasources:query", _by_id),
    Route("*", f"/api/datasources/proxy/{{id}}{REST}", "datasources:query", _by_id),
]
