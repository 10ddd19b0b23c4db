"""One organization of a Grafana: the operator's way to it, and what an administrator does there."""

import secrets
import ssl
from typing import Any, cast

import httpx

from tests.servers.fault_proxy import FaultProxy
from tests.servers.faults import ProxiedRequest
from tests.servers.grafana import Grafana
from tests.servers.grafana_sessions import Session

Json = dict[str, Any]


class Target:
    """What a GrafanaInstance (or the operator's default instance) stands for."""

    def __init__(
        self,
        server: Grafana,
        org_id: int | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        record_bodies: bool = False,
    ) -> None:
        """Of a new organization unless it is given; `tls` and `record_bodies` as of FaultProxy."""
        self.server = server
        self.org_id = org_id or _make_organization(server)
        self.token = server.create_token(org_id=self.org_id)
        # The operator's way to Grafana: counted, and broken where a test wants it so.
        self.proxy = FaultProxy(server.url, record_bodies=record_bodies, tls=tls)
        self.client = httpx.Client(
            base_url=f"{server.url}/api/",
            auth=Session(server.url, server.admin),
            headers={"X-Grafana-Org-Id": str(self.org_id)},
            trust_env=False,
            timeout=30,
        )

    @property
    def url(self) -> str:
        """Of the proxy."""
        return self.proxy.url

    def close(self) -> None:
        self.proxy.stop()
        self.client.close()

    # --- what Grafana holds

    def in_grafana(self, uid: str) -> Json | None:
        answer = self.client.get(f"datasources/uid/{uid}")
        if answer.status_code == 404:
            return None
        return cast("Json", answer.raise_for_status().json())

    def held(self, uid: str) -> Json:
        """What Grafana holds, and it does."""
        found = self.in_grafana(uid)
        assert found is not None, f"organization {self.org_id} has no data source {uid}"
        return found

    def all_in_grafana(self) -> list[Json]:
        return cast("list[Json]", self.client.get("datasources").raise_for_status().json())

    def query(self, uid: str) -> None:
        """Let Grafana ask the back end of a data source, with whatever credentials it uses."""
        self.client.get(f"datasources/proxy/{self._one(uid)}/api/v1/labels").raise_for_status()

    # --- what people do in its user interface

    def make_by_hand(self, uid: str, **fields: object) -> Json:
        body = {"uid": uid, "name": uid, "access": "proxy", **_LOKI, **fields}
        self.client.post("datasources", json=body).raise_for_status()
        return self.held(uid)

    def edit(self, uid: str, **fields: object) -> Json:
        """Whole state, with the version that was read."""
        body = {**self.held(uid), **fields}
        self.client.put(f"datasources/{self._one(uid)}", json=body).raise_for_status()
        return self.held(uid)

    def delete_by_hand(self, uid: str) -> None:
        self.client.delete(f"datasources/uid/{uid}").raise_for_status()

    def _one(self, uid: str) -> str:
        """The end of the path of one data source; 8.5 writes and proxies by id only."""
        has_uid_routes = int(self.server.version.split(".")[0]) >= 9
        return f"uid/{uid}" if has_uid_routes else str(self.held(uid)["id"])

    # --- counting

    def requests(self, since: int = 0) -> list[ProxiedRequest]:
        """The operator's requests about data sources, checks of their health aside."""
        return [
            request
            for request in self.proxy.since(since)
            if request.path.startswith("/api/datasources")
            and "gdso-probe" not in request.path
            and not request.path.endswith("/health")
        ]

    def writes(self, since: int = 0) -> list[str]:
        """Those of them that change something, as "METHOD path"."""
        return [f"{r.method} {r.path}" for r in self.requests(since) if r.method != "GET"]


_LOKI = {"type": "loki", "url": "http://loki:3100"}


def _make_organization(server: Grafana) -> int:
    with httpx.Client(base_url=server.url, auth=server.admin, trust_env=False) as client:
        answer = client.post("/api/orgs", json={"name": secrets.token_hex(8)})
        return int(answer.raise_for_status().json()["orgId"])
