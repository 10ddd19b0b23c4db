"""Typed calls to Grafana's data source API over one pooled HTTP client.

By uid where the server has it, by id where not: what a server has is found by asking, and nothing
outside this module knows about versions.
"""

import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from pydantic import SecretStr, ValidationError

from ..api.grafana_json import DataSourceBody, DataSourceState
from ..api.model import Json
from ..telemetry.metrics import GRAFANA_REQUEST_SECONDS, GRAFANA_REQUESTS
from . import errors
from .answers import Answer, expect_object, read_answer, to_error
from .credentials import Credentials

_PROBE_UID = "gdso-probe"
"""A uid that nobody has: asking about it shows which routes there are."""

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
        url: str,
        credentials: Credentials,
        *,
        name: str,
        user_agent: str,
        org_id: int | None = None,
        timeout: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare the client; the first call connects.

        Args:
            url: root of Grafana, with its sub-path if it has one.
            credentials: who we are.
            name: of the instance, for metrics.
            user_agent: sent along.
            org_id: organization to act in; None is the credentials' own.
            timeout: seconds for connecting and between two pieces of an answer.
            transport: replaces the network in unit tests.
        """
        self._credentials = credentials
        self._name = name
        self._timeout = timeout
        self._by_uid: bool | None = None
        headers = {"User-Agent": user_agent, "Accept": "application/json"}
        if org_id is not None:
            headers["X-Grafana-Org-Id"] = str(org_id)
        # Environment proxies and redirects would carry the credentials elsewhere.
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/api/",
            headers=headers,
            timeout=timeout,
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=8),
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

    async def has_uid_routes(self) -> bool:
        """Whether the server updates and checks by uid (9.0 and later); asked once."""
        if self._by_uid is None:
            answer = await self._request("GET", f"datasources/uid/{_PROBE_UID}/health")
            if not answer.is_json or answer.status in (401, 429, 502, 503, 504):
                raise to_error(answer)
            self._by_uid = not answer.is_missing_route
        return self._by_uid

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
        answer = await self._request("POST", "datasources", body)
        return _to_state(expect_object(answer).get("datasource"))

    async def update_data_source(self, id_: int, body: DataSourceBody) -> DataSourceState:
        """PUT a data source whole; `id_` serves on servers that cannot by uid."""
        if await self.has_uid_routes():
            path = f"datasources/uid/{_segment(body.uid)}"
        else:
            path = f"datasources/{id_}"
        answer = await self._request("PUT", path, body)
        return _to_state(expect_object(answer).get("datasource"))

    async def delete_data_source(self, uid: str) -> None:
        """DELETE a data source.

        Raises:
            errors.NotFound: it does not exist (any more).
        """
        expect_object(await self._request("DELETE", f"datasources/uid/{_segment(uid)}"))

    async def check_health(self, uid: str, id_: int) -> Answer:
        """Grafana's own check of the data source: what it answers, whatever that is."""
        return await self._request("GET", f"datasources/{await self._subject(uid, id_)}/health")

    async def get_resource(self, uid: str, id_: int, path: str) -> Answer:
        """A resource that the data source's plugin serves."""
        subject = await self._subject(uid, id_)
        return await self._request("GET", f"datasources/{subject}/resources/{path.lstrip('/')}")

    async def _subject(self, uid: str, id_: int) -> str:
        return f"uid/{_segment(uid)}" if await self.has_uid_routes() else str(id_)

    async def _request(self, method: str, path: str, body: DataSourceBody | None = None) -> Answer:
        started = time.monotonic()
        code = "none"
        try:
            response = await self._http.request(
                method,
                path,
                json=None if body is None else encode_body(body),
                auth=self._credentials.authorization(),
            )
            code = str(response.status_code)
        except httpx.TimeoutException:
            raise errors.Unreachable(f"Grafana did not answer within {self._timeout:g}s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Its text may hold the URL with user and password: only the kind of failure is told.
            raise errors.Unreachable(f"no connection to Grafana ({_describe(error)})") from None
        finally:
            GRAFANA_REQUESTS.labels(self._name, method, code).inc()
            GRAFANA_REQUEST_SECONDS.labels(self._name, method).observe(time.monotonic() - started)
        answer = read_answer(response)
        return _redact(answer, body.secure_json_data) if body else answer


def _describe(error: Exception) -> str:
    match error:
        case httpx.ConnectError():
            return "connecting failed: refused, unknown host, or TLS not accepted"
        case httpx.RemoteProtocolError() | httpx.ReadError() | httpx.WriteError():
            return "the connection broke"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return "its URL is not valid"
        case _:
            return type(error).__name__


def _redact(answer: Answer, secrets: dict[str, SecretStr]) -> Answer:
    """`answer` without any value that we sent as a secret, should Grafana repeat one."""
    values = {v.get_secret_value() for v in secrets.values()} - {""}
    if answer.status < 400 or not isinstance(answer.content, dict) or not answer.message:
        return answer
    message = str(answer.content["message"])
    # The longest first: one may be the beginning of another.
    for value in sorted(values, key=len, reverse=True):
        message = message.replace(value, "…")
    content: Any = {**answer.content, "message": message}
    return Answer(answer.status, content, answer.is_json, answer.retry_after)


def _to_state(content: Any) -> DataSourceState:
    try:
        return DataSourceState.model_validate(content)
    except ValidationError:
        raise errors.Unavailable(
            "Grafana's address answered JSON that is no data source; check the URL"
        ) from None
