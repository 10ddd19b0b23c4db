"""The HTTP server: routes, credentials, permissions, errors."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware

from tests.grafana_double import (
    api_keys,
    correlations,
    datasources,
    health,
    organizations,
    provisioning,
    proxy,
    queries,
    service_accounts,
)
from tests.grafana_double.accounts import Accounts
from tests.grafana_double.answers import ApiError, EarlyApiError, context_answer
from tests.grafana_double.auth import Credentials, demand
from tests.grafana_double.backends import Backends, Connections, Lookups
from tests.grafana_double.calls import Call, Route
from tests.grafana_double.state import Grafana
from tests.grafana_double.versions import Version

_LARGEST_BODY = 64 * 1024 * 1024
_log = logging.getLogger("grafana_double")

# A fixed part of a path goes before a variable one: /correlations before /{id}.
_ROUTES = [
    *organizations.ROUTES,
    *provisioning.ROUTES,
    *service_accounts.ROUTES,
    *api_keys.ROUTES,
    *correlations.ROUTES,
    *proxy.ROUTES,
    *health.ROUTES,
    *queries.ROUTES,
    *datasources.ROUTES,
]
_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(grafana: Grafana, credentials: Credentials, accounts: Accounts) -> web.Application:
    app = web.Application(
        client_max_size=_LARGEST_BODY, middlewares=[_middleware(grafana.version, credentials)]
    )
    app.router.add_get("/api/health", _health_of(grafana))
    entry = _Entry(grafana, credentials, accounts)
    app.cleanup_ctx.append(entry.connect)
    for route in (*_ROUTES, Route("GET", "/api/frontend/settings", None, _frontend_settings)):
        if route.exists(grafana.version):
            entry.add(app, route)
    return app


class _Entry:
    """Where every request passes: who is it, may he, and on to the handler."""

    def __init__(self, grafana: Grafana, credentials: Credentials, accounts: Accounts) -> None:
        self._grafana = grafana
        self._credentials = credentials
        self._accounts = accounts
        self._connections: Connections | None = None

    async def connect(self, _app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            self._connections = Connections(
                session, Lookups(), Backends(self._grafana), Backends(self._grafana)
            )
            yield

    def add(self, app: web.Application, route: Route) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await route.handler(self._admit(request, route))

        # Grafana's router answers HEAD like GET, and does not mind a slash at the end.
        methods = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        ends = ("",) if route.takes_rest_of_path else ("", "/")
        for method in methods:
            for end in ends:
                app.router.add_route(method, route.path + end, handle)

    def _admit(self, request: web.Request, route: Route) -> Call:
        identity = self._credentials.identify(request)
        if route.action is not None:
            demand(identity, route.action, self._grafana.version)
        assert self._connections is not None
        return Call(
            request, self._grafana, self._credentials, self._accounts, self._connections, identity
        )


def _health_of(grafana: Grafana) -> Callable[[web.Request], Awaitable[web.Response]]:
    shown = {} if grafana.limits.hides_version else _build(grafana.version)

    async def health_of_server(_request: web.Request) -> web.Response:
        return context_answer({"database": "ok", **shown})

    return health_of_server


async def _frontend_settings(call: Call) -> web.Response:
    """Of the many, those that tell what runs here: to whoever is signed in."""
    return context_answer({"buildInfo": _build(call.version)})


def _build(version: Version) -> dict[str, object]:
    return {"version": version.name, "commit": version.commit}


def _middleware(version: Version, credentials: Credentials) -> Middleware:
    async def answered(request: web.Request, handler: _Next) -> web.StreamResponse:
        try:
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            credentials.identify(request)
            return context_answer({"message": "Not found"}, 404)

    @web.middleware
    async def errors(request: web.Request, handler: _Next) -> web.StreamResponse:
        try:
            response = await answered(request, handler)
        except ApiError as error:
            response = error.response(version)
        except EarlyApiError as error:
            response = error.response()
        _log.info("%s %s %s", request.method, request.path_qs, response.status)
        return response

    return errors
