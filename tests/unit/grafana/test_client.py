"""The client on the wire: routes, headers, and texts that betray nothing."""

import json
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from grafana_datasource_operator.api.grafana_json import DataSourceBody
from grafana_datasource_operator.grafana import errors
from grafana_datasource_operator.grafana.capabilities import Capability
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.credentials import Credentials, TokenFile, UserPassword
from tests.canary import find_leaks
from tests.servers.echo import EchoServer
from tests.unit.grafana.wire import TOKEN, Answering, Wire, answer, client_on, data_source, page

_TRANSCRIPTS = Path(__file__).parents[2] / "contract" / "transcripts"

Call = Callable[[GrafanaClient], Coroutine[Any, Any, object]]


def _body(uid: str = "prom-a", version: int | None = None, **secrets: str) -> DataSourceBody:
    return DataSourceBody(
        uid=uid,
        name="Prom A",
        type="prometheus",
        access="proxy",
        url="http://p",
        user="",
        database="",
        basic_auth=False,
        basic_auth_user="",
        with_credentials=False,
        is_default=False,
        json_data={},
        secure_json_data={key: SecretStr(value) for key, value in secrets.items()},
        version=version,
    )


def _new_server(request: httpx.Request) -> httpx.Response:
    """9.2 and later, with one data source."""
    if request.url.path == "/api/health":
        return answer(200, {"database": "ok", "version": "12.4.0"})
    if request.url.path == "/api/datasources" and request.method == "GET":
        return answer(200, [data_source()])
    if request.url.path.endswith("/correlations"):
        return answer(404, {"message": "Source data source not found"})
    if request.url.path.endswith("/health"):
        return answer(500, {"message": "Unable to load datasource metadata"})
    if request.url.path == "/api/org":
        return answer(200, {"id": 3, "name": "Main Org."})
    if request.method == "GET":
        return answer(200, data_source())
    return answer(200, {"datasource": data_source(version=2), "message": "Datasource added"})


def _old_server(request: httpx.Request) -> httpx.Response:
    """8.5: no PUT and no health by uid, and no correlations."""
    by_uid = "/uid/" in request.url.path
    if request.url.path.endswith("/correlations"):
        return answer(404, {"message": "Not found"})
    if by_uid and (request.url.path.endswith("/health") or request.method == "PUT"):
        return answer(404, {"message": "Not found"})
    return _new_server(request)


CALLS: dict[str, Call] = {
    "org": lambda c: c.get_org_id(),
    "list": lambda c: c.list_data_sources(),
    "get": lambda c: c.get_data_source("prom-a"),
    "get by name": lambda c: c.get_data_source_by_name("Prom A"),
    "create": lambda c: c.create_data_source(_body(token="secret-value-1")),
    "update": lambda c: c.update_data_source(7, _body(token="secret-value-1")),
    "delete": lambda c: c.delete_data_source("prom-a"),
    "health": lambda c: c.check_health("prom-a", 7),
    "resource": lambda c: c.get_resource("prom-a", 7, "labels"),
}
_CHECKED = {name: call for name, call in CALLS.items() if name not in ("health", "resource")}
"""Calls that judge the answer themselves."""

_every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
_every_checked_call = pytest.mark.parametrize("call", _CHECKED.values(), ids=_CHECKED)


def _with_uid_routes(answering: Answering) -> Wire:
    """A wire on which only the question for routes is answered as a new server does."""
    return Wire(lambda r: _new_server(r) if "gdso-probe" in r.url.path else answering(r))


async def _failure(call: Call, wire: Wire, **arguments: Any) -> errors.GrafanaError:
    async with client_on(wire, **arguments) as client:
        with pytest.raises(errors.GrafanaError) as failed:
            await call(client)
    return failed.value


# --- routes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ("org", "GET /api/org"),
        ("list", "GET /api/datasources"),
        ("get", "GET /api/datasources/uid/prom-a"),
        ("get by name", "GET /api/datasources/name/Prom%20A"),
        ("create", "POST /api/datasources"),
        ("update", "PUT /api/datasources/uid/prom-a"),
        ("delete", "DELETE /api/datasources/uid/prom-a"),
        ("health", "GET /api/datasources/uid/prom-a/health"),
        ("resource", "GET /api/datasources/uid/prom-a/resources/labels"),
    ],
)
@pytest.mark.parametrize("root", ["", "/", "/grafana", "/grafana/"])
async def test_each_call_has_its_route_below_the_url(call: str, line: str, root: str) -> None:
    wire = Wire(
        lambda request: _new_server(
            httpx.Request(request.method, str(request.url).replace("/grafana/", "/"))
        )
    )
    async with client_on(wire, url=f"http://grafana.example{root}") as client:
        await CALLS[call](client)
    assert wire.lines[-1] == line.replace(" /api", f" {root.rstrip('/')}/api")


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("a?b=c&d#e", "a%3Fb%3Dc%26d%23e"),
        ("50%", "50%25"),
        ("ä", "%C3%A4"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("../../admin/users", "%2E%2E%2F%2E%2E%2Fadmin%2Fusers"),
        ("http://elsewhere/x", "http%3A%2F%2Felsewhere%2Fx"),
    ],
)
async def test_a_uid_or_name_is_one_segment_of_the_path_whatever_it_holds(
    text: str, segment: str
) -> None:
    wire = Wire(_new_server)
    async with client_on(wire) as client:
        await client.get_data_source(text)
        await client.get_data_source_by_name(text)
        await client.delete_data_source(text)
        wire.requests.clear()
        await client.get_data_source(text)
        await client.get_data_source_by_name(text)
        await client.delete_data_source(text)
        await client.supports(Capability.UPDATE_BY_UID)
        await client.update_data_source(7, _body(uid=text))
        await client.check_health(text, 7)
    assert wire.lines == [
        f"GET /api/datasources/uid/{segment}",
        f"GET /api/datasources/name/{segment}",
        f"DELETE /api/datasources/uid/{segment}",
        "GET /api/datasources/uid/gdso-probe/health",
        "GET /api/datasources/uid/gdso-probe/correlations",
        f"PUT /api/datasources/uid/{segment}",
        f"GET /api/datasources/uid/{segment}/health",
    ]
    assert {request.url.host for request in wire.requests} == {"grafana.example"}


async def test_a_server_without_the_newer_routes_is_served_by_id_and_asked_about_it_once() -> None:
    wire = Wire(_old_server)
    async with client_on(wire) as client:
        for _ in range(2):
            await client.update_data_source(7, _body())
            await client.check_health("prom-a", 7)
            await client.get_resource("prom-a", 7, "/labels")
    once = [
        "PUT /api/datasources/7",
        "GET /api/datasources/7/health",
        "GET /api/datasources/7/resources/labels",
    ]
    asked = [
        "GET /api/datasources/uid/gdso-probe/health",
        "GET /api/datasources/uid/gdso-probe/correlations",
        "POST /api/datasources/uid/gdso-probe/correlations",
    ]
    assert wire.lines == [*asked, *once, *once]


# --- what the server can do ---------------------------------------------------------------------

_BY_UID = {Capability.UPDATE_BY_UID, Capability.HEALTH_BY_UID}


def _recorded(server: str, case: str) -> httpx.Response:
    rows = map(json.loads, (_TRANSCRIPTS / f"{server}.jsonl").read_text().splitlines())
    row = next(row for row in rows if row["case"] == case)
    return httpx.Response(
        row["status"],
        content=json.dumps(row["response"]),
        headers={"Content-Type": row["contentType"]},
    )


@pytest.mark.parametrize(
    ("server", "capabilities"),
    [("8.5.9", set()), ("9.4.0-pre", {*Capability}), ("12.4.0", {*Capability})],
)
async def test_what_a_server_can_do_shows_in_its_answers_about_a_uid_that_nobody_has(
    server: str, capabilities: set[Capability]
) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return _recorded(server, "corr.create.malformed")
        by_health = request.url.path.endswith("/health")
        return _recorded(
            server, "ds.health.uid.missing" if by_health else "corr.list.missing-source"
        )

    async with client_on(Wire(serve)) as client:
        assert await client.ask_capabilities() == capabilities
        for capability in Capability:
            assert await client.supports(capability) is (capability in capabilities)


def _server_9_1(request: httpx.Request) -> httpx.Response:
    """Correlations cannot be read yet."""
    if request.url.path.endswith("/correlations"):
        known = request.method == "POST"
        return answer(
            400 if known else 404, {"message": "bad request data" if known else "Not found"}
        )
    return _new_server(request)


async def test_correlations_that_can_only_be_written_are_found_by_a_body_that_is_refused() -> None:
    wire = Wire(_server_9_1)
    async with client_on(wire) as client:
        assert await client.ask_capabilities() == {*_BY_UID, Capability.CORRELATIONS}
    assert wire.lines[-1] == "POST /api/datasources/uid/gdso-probe/correlations"
    # No object, so that no version of Grafana can make anything of it.
    assert json.loads(wire.requests[-1].content) == []


async def test_a_server_is_asked_what_it_can_do_once_and_again_when_told_to() -> None:
    wire = Wire(_new_server)
    async with client_on(wire) as client:
        for _ in range(3):
            for capability in Capability:
                assert await client.supports(capability)
        assert len(wire.requests) == 2
        wire._answering = _old_server
        assert await client.ask_capabilities() == set()
        assert not await client.supports(Capability.UPDATE_BY_UID)


@pytest.mark.parametrize("status", [400, 403, 404, 500])
async def test_a_route_that_answers_anything_of_its_own_is_there(status: int) -> None:
    wire = Wire(lambda _: answer(status, {"message": "Access denied"}))
    async with client_on(wire) as client:
        assert await client.ask_capabilities() == {*Capability}


@pytest.mark.parametrize(
    "unhelpful",
    [answer(s) for s in (401, 429, 502, 503, 504)]
    + [page(200), page(302), page(404), page(500), page(502)],
    ids=str,
)
@pytest.mark.parametrize("after", [0, 1, 2])
async def test_an_answer_that_says_nothing_about_routes_is_not_remembered(
    unhelpful: httpx.Response, after: int
) -> None:
    missing = answer(404, {"message": "Not found"})
    answers = [missing] * after + [unhelpful] + [missing] * 3
    async with client_on(Wire(lambda _: answers.pop(0))) as client:
        with pytest.raises(errors.Unaskable):
            await client.supports(Capability.UPDATE_BY_UID)
        assert await client.supports(Capability.UPDATE_BY_UID) is False


_HIDDEN = answer(200, {"database": "ok"})


@pytest.mark.parametrize(
    ("health", "settings", "version"),
    [
        (answer(200, {"database": "ok", "version": "12.4.0"}), None, "12.4.0"),
        (answer(503, {"database": "failing", "version": "12.4.0"}), None, "12.4.0"),
        (_HIDDEN, answer(200, {"buildInfo": {"version": "9.4.0"}}), "9.4.0"),
        (page(403), answer(200, {"buildInfo": {"version": "9.4.0"}}), "9.4.0"),
        (_HIDDEN, answer(200, {"buildInfo": {}}), None),
        (_HIDDEN, answer(200, {"buildInfo": None}), None),
        (_HIDDEN, answer(200, {"buildInfo": {"version": 12}}), None),
        (_HIDDEN, answer(200, []), None),
        (_HIDDEN, answer(403, {"message": "no"}), None),
        (_HIDDEN, page(404), None),
    ],
)
async def test_the_version_is_found_wherever_it_is_told(
    health: httpx.Response, settings: httpx.Response | None, version: str | None
) -> None:
    answers = {"/api/health": health, "/api/frontend/settings": settings}
    wire = Wire(lambda request: answers[request.url.path] or page(500))
    async with client_on(wire) as client:
        assert await client.get_version() == version
    assert len(wire.requests) == (1 if settings is None else 2)


async def test_the_list_is_read_though_it_tells_less() -> None:
    told = ("id", "uid", "orgId", "name", "type", "access", "url", "isDefault", "jsonData")
    items = [
        {key: data_source(uid=uid)[key] for key in told if key in data_source()} for uid in "ab"
    ]
    async with client_on(Wire(lambda _: answer(200, items))) as client:
        first, second = await client.list_data_sources()
    assert (first.uid, second.uid) == ("a", "b")
    assert (first.version, first.basic_auth_user, first.with_credentials) == (0, "", False)
    assert first.secret_keys == frozenset()


@pytest.mark.parametrize("server", ["8.5.9", "9.4.0-pre", "12.4.0"])
async def test_recorded_lists_are_read(server: str) -> None:
    async with client_on(Wire(lambda _: _recorded(server, "ds.list.empty"))) as client:
        (provisioned,) = await client.list_data_sources()
    assert (provisioned.uid, provisioned.type, provisioned.read_only) == ("provd", "loki", True)


# --- what is sent and understood ----------------------------------------------------------------


async def test_a_body_arrives_as_json_with_its_secrets_and_version() -> None:
    wire = Wire(_new_server)
    async with client_on(wire) as client:
        await client.update_data_source(7, _body(version=4, password="line\n€"))
    sent = json.loads(wire.requests[-1].content)
    assert wire.requests[-1].headers["Content-Type"] == "application/json"
    assert sent["secureJsonData"] == {"password": "line\n€"}
    assert sent["version"] == 4
    assert sent["uid"] == "prom-a"


@pytest.mark.parametrize(("org_id", "header"), [(None, None), (3, "3")])
async def test_the_organization_is_named_where_one_was_set(
    org_id: int | None, header: str | None
) -> None:
    wire = Wire(_new_server)
    async with client_on(wire, org_id=org_id) as client:
        assert await client.get_org_id() == 3
    (request,) = wire.requests
    assert request.headers.get("X-Grafana-Org-Id") == header
    assert request.headers["User-Agent"] == "gdso/unit"
    assert "X-Grafana-NoCache" not in request.headers


async def test_answers_become_states() -> None:
    shown = data_source(
        basicAuth=True,
        basicAuthUser="u",
        isDefault=True,
        secureJsonFields={"set": True, "unset": False},
        readOnly=True,
        fieldOfTomorrow={"x": 1},
    )
    async with client_on(Wire(lambda _: answer(200, shown))) as client:
        state = await client.get_data_source("prom-a")
    assert state is not None
    assert (state.id, state.uid, state.name, state.version) == (7, "prom-a", "Prom A", 1)
    assert (state.basic_auth, state.basic_auth_user, state.is_default) == (True, "u", True)
    assert state.secret_keys == {"set"}
    assert state.read_only


async def test_writes_answer_the_state_that_grafana_says_it_holds() -> None:
    async with client_on(Wire(_new_server)) as client:
        created = await client.create_data_source(_body())
        updated = await client.update_data_source(7, _body())
    assert (created.version, updated.version) == (2, 2)


async def test_what_does_not_exist_is_none_to_a_reader_and_an_error_to_a_deleter() -> None:
    async with client_on(
        Wire(lambda _: answer(404, {"message": "Data source not found"}))
    ) as client:
        assert await client.get_data_source("nope") is None
        assert await client.get_data_source_by_name("nope") is None
        with pytest.raises(errors.NotFound):
            await client.delete_data_source("nope")


@pytest.mark.parametrize(
    "response", [page(404), answer(404, {"message": "Not found"}), answer(404)]
)
async def test_a_404_of_something_else_never_says_that_a_data_source_is_gone(
    response: httpx.Response,
) -> None:
    async with client_on(Wire(lambda _: response)) as client:
        with pytest.raises(errors.Unavailable):
            await client.get_data_source("prom-a")
        with pytest.raises(errors.Unavailable):
            await client.delete_data_source("prom-a")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"status": "ok"},
        {"id": None},
        {"id": "one"},
        {"datasource": None},
        {"datasource": {"id": 7}},
        {"datasource": [], "id": []},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["org", "list", "get", "get by name", "create", "update"])
async def test_json_of_something_else_is_an_answer_of_no_grafana(name: str, content: Any) -> None:
    wire = _with_uid_routes(lambda _: answer(200, content))
    failure = await _failure(CALLS[name], wire)
    assert isinstance(failure, errors.Unavailable)
    assert "check the URL" in failure.message


async def test_only_a_check_of_health_may_take_longer_than_the_connection_s_time() -> None:
    wire = Wire(_new_server)
    async with client_on(wire, timeout=3.0) as client:
        await client.get_data_source("prom-a")
        await client.check_health("prom-a", 7)
    limits = [wire.requests[at].extensions["timeout"] for at in (0, -1)]
    assert [limit["read"] for limit in limits] == [3.0, None]
    assert [limit["connect"] for limit in limits] == [3.0, 3.0]


async def test_health_and_resources_are_answered_whatever_they_say() -> None:
    sick = {"status": "ERROR", "message": "connection refused"}
    async with client_on(_with_uid_routes(lambda _: answer(400, sick))) as client:
        health = await client.check_health("prom-a", 7)
        labels = await client.get_resource("prom-a", 7, "labels")
    assert health is not None
    assert (health.status, health.content["status"]) == (400, "ERROR")
    assert (labels.status, labels.message) == (400, "connection refused")


# --- where requests never go --------------------------------------------------------------------


@_every_checked_call
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(call: Call, status: int) -> None:
    def redirect(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"Location": "http://elsewhere.example/api"})

    wire = _with_uid_routes(redirect)
    failure = await _failure(call, wire)
    assert isinstance(failure, errors.Unavailable)
    assert f"HTTP {status}, a redirect" in failure.message
    assert "elsewhere.example" not in failure.message
    assert {request.url.host for request in wire.requests} == {"grafana.example"}


async def test_proxies_of_the_environment_are_sent_nothing(
    monkeypatch: pytest.MonkeyPatch, echo: EchoServer
) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, echo.url)
        monkeypatch.setenv(variable.lower(), echo.url)
    for url in ("http://grafana.invalid", "https://grafana.invalid"):
        async with client_on(None, url=url) as client:
            with pytest.raises(errors.Unreachable, match="host is unknown"):
                await client.get_org_id()
    assert echo.received == []


async def test_netrc_of_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine grafana.example login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    wire = Wire(_new_server)
    # Without a token to send there is room for other credentials.
    async with client_on(wire, credentials=TokenFile(tmp_path / "missing")) as client:
        assert await client.get_org_id() == 3
    assert "Authorization" not in wire.requests[0].headers


# --- headers of the settings --------------------------------------------------------------------


async def test_headers_of_the_settings_go_with_every_request() -> None:
    headers = {"X-Team": SecretStr("a"), "CF-Access-Client-Secret": SecretStr(" v€lue\n")}
    wire = Wire(_new_server)
    async with client_on(wire, headers=headers) as client:
        for call in CALLS.values():
            await call(client)
        await client.get_version()
        await client.ask_capabilities()
    assert len(wire.requests) >= len(CALLS)
    for request in wire.requests:
        sent = {name.lower(): value for name, value in request.headers.raw}
        assert sent[b"x-team"] == b"a"
        assert sent[b"cf-access-client-secret"] == "v€lue".encode()


@pytest.mark.parametrize("org_id", [None, 3])
@pytest.mark.parametrize("credentials", [None, TokenFile(Path("/nowhere/token"))])
async def test_no_header_of_the_settings_replaces_ours(
    org_id: int | None, credentials: Credentials | None
) -> None:
    names = [
        "Authorization",
        "authorization ",
        "X-Grafana-Org-Id",
        "x-grafana-org-id",
        "X-GRAFANA-NOCACHE",
        "Content-Type",
        "content-length",
        "Transfer-Encoding",
        "Accept",
    ]
    plain, chosen = Wire(_new_server), Wire(_new_server)
    headers = {name: SecretStr("chosen") for name in names}
    for wire, settings in ((plain, {}), (chosen, headers)):
        async with client_on(
            wire, org_id=org_id, headers=settings, credentials=credentials
        ) as client:
            await client.create_data_source(_body())
    assert chosen.requests[0].headers.raw == plain.requests[0].headers.raw


async def test_the_user_agent_may_be_another_one() -> None:
    wire = Wire(_new_server)
    async with client_on(wire, headers={"user-agent": SecretStr("allowed/1")}) as client:
        await client.get_org_id()
    assert wire.requests[0].headers.get_list("User-Agent") == ["allowed/1"]


# --- what is never told -------------------------------------------------------------------------

_SECRET_URL = "http://admin:url-password-1@grafana.example:3000"


@_every_call
@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (httpx.ConnectError(f"cannot reach {_SECRET_URL}"), "connecting failed"),
        (httpx.ReadError(f"lost {_SECRET_URL}"), "the connection broke"),
        (httpx.WriteError(f"lost {_SECRET_URL}"), "the connection broke"),
        (httpx.RemoteProtocolError(f"odd answer of {_SECRET_URL}"), "the connection broke"),
        (httpx.LocalProtocolError("Illegal header value url-password-1"), "a header or the token"),
        (httpx.ConnectTimeout(f"late: {_SECRET_URL}"), "did not answer within 10s"),
        (httpx.ReadTimeout(f"late: {_SECRET_URL}"), "did not answer within 10s"),
        (httpx.PoolTimeout(f"late: {_SECRET_URL}"), "did not answer within 10s"),
        (httpx.InvalidURL(f"odd: {_SECRET_URL}"), "its URL is not valid"),
        (httpx.UnsupportedProtocol(f"odd: {_SECRET_URL}"), "its URL is not valid"),
        (httpx.ProxyError(f"odd: {_SECRET_URL}"), "ProxyError"),
        (httpx.DecodingError(f"odd: {_SECRET_URL}"), "DecodingError"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_no_connection_is_told_by_its_kind_alone(
    call: Call, raised: Exception, said: str
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise raised

    failure = await _failure(call, Wire(fail), url=_SECRET_URL)
    assert isinstance(failure, errors.Unreachable)
    assert said in failure.message
    shown = {
        "error": f"{failure}{failure!r}{vars(failure)}",
        "traceback": "".join(traceback.format_exception(failure)),
    }
    assert find_leaks(["url-password-1", TOKEN, "secret-value-1"], shown) == []
    assert "grafana.example" not in shown["error"]


@_every_checked_call
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 502])
async def test_no_answer_makes_an_error_show_url_or_credentials(call: Call, status: int) -> None:
    credentials = UserPassword("admin", SecretStr("basic-password-1"))
    wire = Wire(lambda _: answer(status, {"message": "no"}))
    failure = await _failure(call, wire, credentials=credentials, url=_SECRET_URL)
    shown = {"error": f"{failure}{failure!r}{vars(failure)}"}
    assert find_leaks(["basic-password-1", "url-password-1", "grafana.example"], shown) == []


@pytest.mark.parametrize("name", ["create", "update"])
@pytest.mark.parametrize(
    "message",
    [
        "bad value secret-value-1",
        "secret-value-1secret-value-1",
        f"{'m' * 250}secret-value-1",
        'invalid: "secret-value-1"',
    ],
)
async def test_a_secret_that_grafana_repeats_is_blotted_out(name: str, message: str) -> None:
    wire = _with_uid_routes(lambda _: answer(400, {"message": message, "error": message}))
    failure = await _failure(CALLS[name], wire)
    assert isinstance(failure, errors.Rejected)
    assert "secret" not in failure.message
    assert "…" in failure.message


@_every_checked_call
@pytest.mark.parametrize("status", [400, 401, 403, 409, 429, 500, 503])
async def test_credentials_and_headers_that_grafana_repeats_are_blotted_out(
    call: Call, status: int
) -> None:
    basic = httpx.BasicAuth("admin", "basic-password-1")._auth_header
    said = f"token {TOKEN}, header header-value-1, basic {basic}, password basic-password-1"
    wire = Wire(lambda _: answer(status, {"message": said}))
    headers = {"X-Key": SecretStr("header-value-1\n")}
    for credentials in (None, UserPassword("admin", SecretStr("basic-password-1"))):
        failure = await _failure(call, wire, credentials=credentials, headers=headers)
        own = [TOKEN] if credentials is None else ["basic-password-1", basic.split()[1]]
        assert find_leaks([*own, "header-value-1"], {"error": failure.message}) == []
        assert "…" in failure.message


@pytest.mark.parametrize("name", ["create", "update"])
async def test_a_field_that_came_from_a_secret_is_blotted_out_like_one(name: str) -> None:
    body = replace(
        _body(),
        url="https://key-1@host-1.example",
        hidden=(SecretStr("https://key-1@host-1.example"),),
    )
    said = 'parse "https://key-1@host-1.example/api": bad'
    calls: dict[str, Call] = {
        "create": lambda c: c.create_data_source(body),
        "update": lambda c: c.update_data_source(7, body),
    }
    wire = _with_uid_routes(lambda _: answer(400, {"message": said}))
    failure = await _failure(calls[name], wire)
    assert find_leaks(["host-1.example"], {"error": failure.message}) == []
    assert 'parse "…/api": bad' in failure.message
    assert b"hidden" not in wire.requests[-1].content


async def test_what_is_hidden_is_hidden_in_the_answer_to_a_check_of_health_too() -> None:
    sick = {"status": "ERROR", "message": 'Get "https://host-1.example/x": refused'}
    hidden = [SecretStr("https://host-1.example")]
    async with client_on(_with_uid_routes(lambda _: answer(400, sick))) as client:
        health = await client.check_health("prom-a", 7, hidden=hidden)
    assert health is not None
    assert health.message == 'Get "…/x": refused'


async def test_a_secret_that_begins_like_another_one_leaves_no_rest_behind() -> None:
    body = _body(short="secret-value", long="secret-value-and-its-rest")
    wire = Wire(lambda _: answer(400, {"message": "bad: secret-value-and-its-rest, secret-value!"}))
    failure = await _failure(lambda c: c.create_data_source(body), wire)
    assert '"bad: …, …!"' in failure.message


async def test_a_message_that_holds_no_secret_is_left_alone_also_by_blanked_ones() -> None:
    wire = Wire(lambda _: answer(400, {"message": "invalid URL"}))
    failure = await _failure(lambda c: c.create_data_source(_body(blank="", other="x9x9x9")), wire)
    assert '"invalid URL"' in failure.message


@_every_call
async def test_a_closed_client_says_so(call: Call) -> None:
    wire = Wire(_new_server)
    client = client_on(wire)
    await client.ask_capabilities()
    await client.close()
    asked = len(wire.requests)
    with pytest.raises(errors.Closed, match="has been closed"):
        await call(client)
    assert len(wire.requests) == asked


# --- metrics ------------------------------------------------------------------------------------


def _requests(method: str, code: str) -> float:
    labels = {"instance": "counted", "method": method, "code": code}
    return REGISTRY.get_sample_value("gdso_grafana_requests_total", labels) or 0


async def test_every_request_is_counted_by_method_and_answer() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/org":
            raise httpx.ConnectError("nobody there")
        return _new_server(request)

    before = {code: _requests("GET", code) for code in ("200", "404", "500", "none")}
    async with client_on(Wire(serve), name="counted") as client:
        await client.get_data_source("prom-a")
        await client.supports(Capability.UPDATE_BY_UID)
        with pytest.raises(errors.Unreachable):
            await client.get_org_id()
    grown = {code: _requests("GET", code) - before[code] for code in before}
    assert grown == {"200": 1, "500": 1, "404": 1, "none": 1}
