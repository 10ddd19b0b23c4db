"""Typed calls to Grafana's data source API over one pooled HTTP client.

By uid where the server has it, by id where not: what a server has is found by asking, and nothing
outside this module knows about versions.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from pydantic import SecretStr, ValidationError

from ..api.grafana_json import DataSourceBody, DataSourceState
from ..api.model import Json
from ..telemetry.metrics import GRAFANA_REQUEST_SECONDS, GRAFANA_REQUESTS
from . import errors
from .answers import Answer, expect_list, expect_object, read_answer, to_error
from .capabilities import Capability
from .connection import ConnectionSettings, build_ssl_context
from .credentials import Credentials
from .health import HEALTH_TIMEOUT_SECONDS
from .redaction import blot_out, secrets_of_authorization

_PROBE_UID = "gdso-probe"
"""A uid that nobody has: asking about it shows which routes there are."""
_UNREADABLE_BODY: list[Json] = []
"""JSON that no handler takes for an object: it is refused before anything is looked at."""
_SAYS_NOTHING = frozenset({401, 429, 502, 503, 504})
"""Answers that come from before the routes."""

_OUR_HEADERS = frozenset(
    {
        "authorization",
        "x-grafana-org-id",
        # It makes other replicas of Grafana keep old credentials.
        "x-grafana-nocache",
        # Of the message itself.
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "transfer-encoding",
    }
)
"""What no setting replaces."""
_OTHER_CONNECTIONS = 4
"""Beside reads and writes: two checks of health, and the probe."""

_BODY_NAMES = {
    "uid": "uid",
    "name": "name",
    "type": "type",
    "access": "access",
    "url": "url",
    "user": "user",
    "database": "database",
    "basic_auth": "basicAuth",
    "basic_auth_user": "basicAuthUser",
    "with_credentials": "withCredentials",
    "is_default": "isDefault",
    "json_data": "jsonData",
}


def _segment(text: str) -> str:
    """`text` as one segment of a path; plain dots (`..`) would lead to another route."""
    return quote(text, safe="").replace(".", "%2E")


def encode_body(body: DataSourceBody) -> Json:
    """The JSON of POST and PUT; the one place where secret values become plain text."""
    encoded: Json = {wire: getattr(body, name) for name, wire in _BODY_NAMES.items()}
    if body.secure_json_data:
        encoded["secureJsonData"] = {
            key: value.get_secret_value() for key, value in body.secure_json_data.items()
        }
    if body.version is not None:
        encoded["version"] = body.version
    return encoded


class GrafanaClient:
    """One Grafana, in one organization, with one set of credentials.

    Every call raises `errors.GrafanaError`; nothing else escapes.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        credentials: Credentials,
        *,
        name: str,
        user_agent: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare the client; the first call connects.

        Args:
            settings: how to reach Grafana.
            credentials: who we are.
            name: of the instance, for metrics.
            user_agent: sent along.
            transport: replaces the network in unit tests.

        Raises:
            InvalidTlsError: a part of `settings.tls` cannot be used.
        """
        self._credentials = credentials
        self._name = name
        self._timeout = settings.timeout
        self._connecting = httpx.Timeout(settings.timeout, read=None)
        self._capabilities: frozenset[Capability] | None = None
        self._header_secrets = [v.get_secret_value().strip() for v in settings.headers.values()]
        connections = 2 * settings.max_concurrent_requests + _OTHER_CONNECTIONS
        # Environment proxies and redirects would carry the credentials elsewhere.
        self._http = httpx.AsyncClient(
            base_url=settings.url.rstrip("/") + "/api/",
            headers=_headers(settings, user_agent),
            timeout=settings.timeout,
            verify=build_ssl_context(settings.tls),
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get_org_id(self) -> int:
        """The organization that the credentials act in; also the probe of a paused instance."""
        answer = expect_object(await self._request("GET", "org"))
        if not isinstance(answer.get("id"), int):
            raise errors.Unavailable(
                "Grafana's address answered JSON that is no organization; check the URL"
            )
        return int(answer["id"])

    async def get_version(self) -> str | None:
        """The version for people; None where the server hides it."""
        health = await self._request("GET", "health")
        if version := _text_at(health, "version"):
            return version
        settings = await self._request("GET", "frontend/settings")
        return _text_at(settings, "buildInfo", "version") or None

    async def ask_capabilities(self) -> frozenset[Capability]:
        """What the server can do, asked now, and remembered."""
        found = set[Capability]()
        if await self._has_route("GET", f"datasources/uid/{_PROBE_UID}/health"):
            # Both came with 9.0.
            found |= {Capability.UPDATE_BY_UID, Capability.HEALTH_BY_UID}
        correlations = f"datasources/uid/{_PROBE_UID}/correlations"
        if await self._has_route("GET", correlations):
            found |= {Capability.CORRELATIONS, Capability.CORRELATION_READS}
        elif await self._has_route("POST", correlations, _UNREADABLE_BODY):
            found.add(Capability.CORRELATIONS)
        self._capabilities = frozenset(found)
        return self._capabilities

    async def supports(self, capability: Capability) -> bool:
        """Whether the server can do this; asked once."""
        known = self._capabilities
        return capability in (await self.ask_capabilities() if known is None else known)

    async def _has_route(self, method: str, path: str, body: object = None) -> bool:
        answer = await self._request(method, path, body)
        if not answer.is_json or answer.status in _SAYS_NOTHING:
            raise to_error(answer)
        return not answer.is_missing_route

    async def list_data_sources(self) -> list[DataSourceState]:
        """All that the server lists: it may cut the list silently, so absence proves nothing.

        The list lacks secureJsonFields, version, basicAuthUser and withCredentials: they have
        their defaults here.
        """
        return [_to_state(item) for item in expect_list(await self._request("GET", "datasources"))]

    async def get_data_source(self, uid: str) -> DataSourceState | None:
        """The data source with `uid`, or None where Grafana says that there is none."""
        answer = await self._request("GET", f"datasources/uid/{_segment(uid)}")
        try:
            return _to_state(expect_object(answer))
        except errors.NotFound:
            return None

    async def get_data_source_by_name(self, name: str) -> DataSourceState | None:
        """The data source with the display name `name`, or None."""
        answer = await self._request("GET", f"datasources/name/{_segment(name)}")
        try:
            return _to_state(expect_object(answer))
        except errors.NotFound:
            return None

    async def create_data_source(self, body: DataSourceBody) -> DataSourceState:
        """POST a data source; Grafana checks name before uid, so `AlreadyExists` says not which."""
        answer = await self._send("POST", "datasources", body)
        return _to_state(expect_object(answer).get("datasource"))

    async def update_data_source(self, id_: int, body: DataSourceBody) -> DataSourceState:
        """PUT a data source whole; `id_` serves on servers that cannot by uid."""
        if await self.supports(Capability.UPDATE_BY_UID):
            path = f"datasources/uid/{_segment(body.uid)}"
        else:
            path = f"datasources/{id_}"
        answer = await self._send("PUT", path, body)
        return _to_state(expect_object(answer).get("datasource"))

    async def delete_data_source(self, uid: str) -> None:
        """DELETE a data source.

        Raises:
            errors.NotFound: it does not exist (any more).
        """
        expect_object(await self._request("DELETE", f"datasources/uid/{_segment(uid)}"))

    async def check_health(
        self,
        uid: str,
        id_: int,
        *,
        within: float = HEALTH_TIMEOUT_SECONDS,
        hidden: Iterable[SecretStr] = (),
    ) -> Answer | None:
        """Grafana's own check of the data source: what it answers, whatever that is.

        Args:
            uid: of the data source.
            id_: serves on servers that cannot by uid.
            within: seconds for the answer, in place of the connection's own.
            hidden: what the answer must not repeat.

        Returns:
            None: Grafana was reached, and had no answer within that time.
        """
        path = f"datasources/{await self._subject(uid, id_)}/health"
        try:
            async with asyncio.timeout(within):
                answer = await self._request("GET", path, hidden=hidden, waits_for_answer=True)
        except TimeoutError:
            return None
        if answer.status == 429 or isinstance(to_error(answer), errors.Unauthorized):
            raise to_error(answer)
        return answer

    async def get_resource(self, uid: str, id_: int, path: str) -> Answer:
        """A resource that the data source's plugin serves."""
        subject = await self._subject(uid, id_)
        return await self._request("GET", f"datasources/{subject}/resources/{path.lstrip('/')}")

    async def _subject(self, uid: str, id_: int) -> str:
        by_uid = await self.supports(Capability.HEALTH_BY_UID)
        return f"uid/{_segment(uid)}" if by_uid else str(id_)

    async def _send(self, method: str, path: str, body: DataSourceBody) -> Answer:
        hidden = (*body.secure_json_data.values(), *body.hidden)
        return await self._request(method, path, encode_body(body), hidden=hidden)

    async def _request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        hidden: Iterable[SecretStr] = (),
        waits_for_answer: bool = False,
    ) -> Answer:
        if self._http.is_closed:
            raise errors.Closed("the connection to this Grafana has been closed")
        started = time.monotonic()
        code = "none"
        try:
            response = await self._http.request(
                method,
                path,
                json=body,
                auth=self._credentials.authorization(),
                timeout=self._connecting if waits_for_answer else self._http.timeout,
            )
            code = str(response.status_code)
        except httpx.TimeoutException:
            raise errors.TimedOut(f"Grafana did not answer within {self._timeout:g}s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Its text may hold the URL with user and password: only the kind of failure is told.
            raise errors.Unreachable(f"no connection to Grafana ({_describe(error)})") from None
        finally:
            self._count(method, code, time.monotonic() - started)
        sent = secrets_of_authorization(response.request.headers.get("Authorization", ""))
        values = [*(value.get_secret_value() for value in hidden), *self._header_secrets, *sent]
        return _redact(read_answer(response), values)

    def _count(self, method: str, code: str, seconds: float) -> None:
        """Unless all is over: the instance's series have gone by then, and must stay away."""
        if not self._http.is_closed:
            GRAFANA_REQUESTS.labels(self._name, method, code).inc()
            GRAFANA_REQUEST_SECONDS.labels(self._name, method).observe(seconds)


def _headers(settings: ConnectionSettings, user_agent: str) -> list[tuple[bytes, bytes]]:
    """Headers of each request; as bytes, since values from Secrets may be in any language."""
    chosen = {"user-agent": user_agent, "accept": "application/json"}
    for name, value in settings.headers.items():
        if name.strip().lower() not in _OUR_HEADERS:
            chosen[name.strip().lower()] = value.get_secret_value().strip()
    if settings.org_id is not None:
        chosen["x-grafana-org-id"] = str(settings.org_id)
    return [(name.encode(), value.encode()) for name, value in chosen.items()]


def _describe(error: Exception) -> str:
    match error:
        case httpx.ConnectError():
            return f"connecting failed: {_describe_refusal(error)}"
        case httpx.LocalProtocolError():
            return "a header or the token holds a character that HTTP does not allow"
        case httpx.RemoteProtocolError() | httpx.ReadError() | httpx.WriteError():
            return "the connection broke"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return "its URL is not valid"
        case _:
            return type(error).__name__


def _describe_refusal(error: BaseException | None) -> str:
    """Why there was no connection, as far as the causes below tell it."""
    while error is not None:
        match error:
            case ssl.SSLCertVerificationError():
                return "its TLS certificate is not trusted, or not of this host"
            case ssl.SSLError():
                return "TLS was not accepted; is it an https address, and the client certificate?"
            case socket.gaierror():
                return "its host is unknown"
            case ConnectionRefusedError():
                return "refused"
        error = error.__cause__ or error.__context__
    return "refused, unknown host, or TLS not accepted"


def _text_at(answer: Answer, *keys: str) -> str:
    """The text at the end of `keys`; empty where there is none."""
    content = answer.content
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, str) else ""


def _redact(answer: Answer, values: Iterable[str]) -> Answer:
    """`answer` without any of the values that we sent, should its message repeat one."""
    if not isinstance(answer.content, dict) or not answer.message:
        return answer
    message = blot_out(str(answer.content["message"]), values)
    content: Any = {**answer.content, "message": message}
    return Answer(answer.status, content, answer.is_json, answer.retry_after)


def _to_state(content: Any) -> DataSourceState:
    try:
        return DataSourceState.model_validate(content)
    except ValidationError:
        raise errors.Unavailable(
            "Grafana's address answered JSON that is no data source; check the URL"
        ) from None
