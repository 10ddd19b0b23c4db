"""A session with one of two servers that are asked the same, in an organisation of its own."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from tests.contract.http_story import comparable
from tests.contract.random_requests import CHOSEN_UIDS, CorrelationMade, IdOf, Step, VersionOf

_UNKNOWN_ID = "424242424242"
_UID_KEYS = frozenset({"uid", "sourceUID", "targetUID"})


@dataclass(frozen=True)
class Answer:
    """What has to be the same on both servers."""

    status: int
    content_type: str | None
    body: object


class Session:
    """Sends requests to one server, and makes its answers comparable with those of the other."""

    def __init__(self, url: str, admin: tuple[str, str]) -> None:
        self._client = httpx.Client(base_url=url, auth=admin, timeout=60, trust_env=False)
        self._forget()

    def __enter__(self) -> Self:
        made = self._client.post("/api/orgs", json={"name": f"twin {secrets.token_hex(8)}"})
        made.raise_for_status()
        self._org_id = int(made.json()["orgId"])
        self._client.headers["X-Grafana-Org-Id"] = str(self._org_id)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.empty()
        del self._client.headers["X-Grafana-Org-Id"]
        # The double keeps organisations for good, and answers 404.
        self._client.delete(f"/api/orgs/{self._org_id}")
        self._client.close()

    def empty(self) -> None:
        """Delete every data source; correlations go with their source."""
        for source in self._client.get("/api/datasources").json():
            self._client.delete(f"/api/datasources/{source['id']}").raise_for_status()
        self._forget()

    def _forget(self) -> None:
        self._ids: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._correlations: list[tuple[str, str]] = []
        self._names: dict[object, str] = {}

    def send(self, step: Step) -> Answer:
        path = step.path.format(self._filled(step.at))
        content = None if step.body is None else json.dumps(self._resolved(step.body)).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}
        answer = self._client.request(step.method, path, content=content, headers=headers)
        body = answer.json()
        self._remember(body)
        return Answer(
            answer.status_code,
            answer.headers.get("Content-Type"),
            self._anonymous(comparable(body)),
        )

    # --- what only this server knows ------------------------------------------------------------

    def _filled(self, placeholder: str | IdOf | CorrelationMade) -> str:
        if isinstance(placeholder, IdOf):
            return str(self._ids.get(placeholder.uid, _UNKNOWN_ID))
        if isinstance(placeholder, CorrelationMade):
            if not self._correlations:
                return "a/correlations/none"
            number = placeholder.number % len(self._correlations)
            return "{}/correlations/{}".format(*self._correlations[number])
        return quote(placeholder, safe="")

    def _resolved(self, value: object) -> object:
        if isinstance(value, VersionOf):
            return self._versions.get(value.uid, 1) + value.plus
        if isinstance(value, Mapping):
            return {key: self._resolved(item) for key, item in value.items()}
        return value

    def _remember(self, body: object) -> None:
        if not isinstance(body, dict):
            return
        source = body.get("datasource")
        if isinstance(source, dict):
            self._ids[source["uid"]] = source["id"]
            self._versions[source["uid"]] = source["version"]
        made = body.get("result")
        if isinstance(made, dict) and body.get("message") == "Correlation created":
            self._correlations.append((made["sourceUID"], made["uid"]))

    # --- what differs from server to server -----------------------------------------------------

    def _anonymous(self, value: object, key: str = "") -> object:
        if isinstance(value, dict):
            # The number of correlations is that of all organisations.
            return {
                name: self._anonymous(item, name)
                for name, item in value.items()
                if name != "totalCount"
            }
        if isinstance(value, list):
            return [self._anonymous(item, key) for item in value]
        if key == "orgId":
            return "<this organisation>" if value == self._org_id else value
        if key == "id" or (key in _UID_KEYS and value is not None and value not in CHOSEN_UIDS):
            return self._names.setdefault(value, f"<{key} {len(self._names)}>")
        return value
