"""One test's corner of the world: a namespace, an organization of Grafana, and an operator."""

import base64
import json
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx

from tests.canary import find_leaks
from tests.kstatus import broken_rules, find_condition
from tests.servers.audit_log import AuditLog, AuditRecord
from tests.servers.fault_proxy import FaultProxy
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.operator_process import USER_AGENT, OperatorProcess
from tests.servers.polling import eventually

Json = dict[str, Any]

GROUP = "/apis/gdso.dev/v1beta1"
SECONDS = 30.0
"""Deadline of a wait on a loaded machine; what is waited for takes well under a second."""


class Sandbox:
    """What a test does as a user (`apply`, `delete`), and what it looks at."""

    def __init__(
        self,
        *,
        kubernetes: KubernetesServer,
        grafana: Grafana,
        namespace: str,
        org_id: int,
        directory: Path,
    ) -> None:
        self.kubernetes = kubernetes
        self.namespace = namespace
        self.org_id = org_id
        self.directory = directory
        self.audit = AuditLog(kubernetes.audit_log)
        self.secret_values: set[str] = set()
        self._kube = httpx.Client(
            base_url=kubernetes.url,
            headers={"Authorization": f"Bearer {kubernetes.admin_token}"},
            verify=_tls(kubernetes),
            trust_env=False,
            timeout=30,
        )
        self.grafana_token = grafana.create_token(org_id=org_id)
        # The operator's way to Grafana: counted, and broken where a test wants it so.
        self.proxy = FaultProxy(grafana.url)
        self.grafana = httpx.Client(
            base_url=f"{grafana.url}/api/",
            auth=grafana.admin,
            headers={"X-Grafana-Org-Id": str(org_id)},
            trust_env=False,
            timeout=30,
        )
        self._settings = {
            "GDSO_NAMESPACES": namespace,
            "GDSO_GRAFANA_URL": self.proxy.url,
            "GDSO_GRAFANA_TOKEN": self.grafana_token,
            "GDSO_GRAFANA_ORG_ID": str(org_id),
            "GDSO_OWNER_ID": f"owner-{namespace}",
        }
        self.operators: list[OperatorProcess] = []

    def make_operator(self, **settings: str) -> OperatorProcess:
        """An operator for this sandbox, not started; variables over the sandbox's own."""
        operator = OperatorProcess(
            self.kubernetes.kubeconfig,
            self.directory / f"operator-{len(self.operators)}.log",
            {**self._settings, **settings},
        )
        self.operators.append(operator)
        return operator

    def start_operator(self, **settings: str) -> OperatorProcess:
        return self.make_operator(**settings).start()

    # --- as a user of Kubernetes

    def apply(self, name: str, spec: Json, **metadata: object) -> Json:
        """Create the GrafanaDataSource, or set its spec as `kubectl apply` would."""
        body = {
            "apiVersion": "gdso.dev/v1beta1",
            "kind": "GrafanaDataSource",
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "spec": spec,
        }
        return self._server_side_apply(f"{self._sources}/{name}", body)

    def apply_secret(self, name: str, values: dict[str, str | bytes]) -> Json:
        """Create or replace a Secret; its values count as canaries."""
        self.secret_values |= {v for v in values.values() if isinstance(v, str)}
        data = {
            key: base64.b64encode(v.encode() if isinstance(v, str) else v).decode()
            for key, v in values.items()
        }
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace},
            "data": data,
        }
        return self._server_side_apply(f"{self._secrets}/{name}", body)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002
        """Its output, in this namespace."""
        return self.kubernetes.kubectl("--namespace", self.namespace, *arguments, input=input)

    def delete(self, name: str) -> None:
        self._expect(self._kube.delete(f"{self._sources}/{name}"))

    def delete_secret(self, name: str) -> None:
        self._expect(self._kube.delete(f"{self._secrets}/{name}"))

    def annotate(self, name: str, key: str, value: str | None) -> None:
        self.patch(name, {"metadata": {"annotations": {key: value}}})

    def patch(self, name: str, patch: Json) -> Json:
        """A merge patch, as `kubectl patch --type merge` sends it."""
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self._kube.patch(
            f"{self._sources}/{name}", content=json.dumps(patch), headers=headers
        )
        return self._expect(answer)

    def request_reconcile(self, name: str) -> Json:
        """Ask for another look, and wait until it has happened."""
        request = secrets.token_hex(4)
        self.annotate(name, "gdso.dev/reconcile-requested-at", request)
        return self.wait_until(
            name,
            lambda raw: raw["status"].get("lastHandledReconcileAt") == request,
            "another look",
        )

    def get(self, name: str) -> Json | None:
        """The GrafanaDataSource as it is, or None."""
        answer = self._kube.get(f"{self._sources}/{name}")
        return None if answer.status_code == 404 else self._expect(answer)

    def get_all(self) -> list[Json]:
        return cast("list[Json]", self._expect(self._kube.get(self._sources))["items"])

    def events(self, name: str) -> list[Json]:
        """Events about one resource, oldest first."""
        found = self._expect(
            self._kube.get(
                f"/api/v1/namespaces/{self.namespace}/events",
                params={"fieldSelector": f"involvedObject.name={name}"},
            )
        )["items"]
        return sorted(found, key=lambda e: int(e["metadata"]["resourceVersion"]))

    # --- waiting

    def wait(
        self, name: str, until: Callable[[Json | None], bool], what: str, within: float = SECONDS
    ) -> Json | None:
        return eventually(lambda: self.get(name), until, within, f"{name}: {what}")

    def wait_until(self, name: str, until: Callable[[Json], bool], what: str) -> Json:
        """For a resource that is there."""
        return cast("Json", self.wait(name, lambda raw: raw is not None and until(raw), what))

    def wait_for_reason(
        self, name: str, reason: str, *, message: str = "", within: float = SECONDS
    ) -> Json:
        """Until Ready has `reason` for the present generation, with `message` in its text."""

        def is_there(raw: Json | None) -> bool:
            ready = find_condition(raw, "Ready") if raw else None
            return (
                raw is not None
                and ready is not None
                and ready["reason"] == reason
                and ready["observedGeneration"] == raw["metadata"]["generation"]
                and message in ready["message"]
            )

        return cast("Json", self.wait(name, is_there, f"reason {reason} {message}", within))

    def wait_ready(self, name: str, within: float = SECONDS) -> Json:
        """Until Ready is True for the present generation."""
        return self.wait_for_reason(name, "Synced", within=within)

    def wait_gone(self, name: str, within: float = SECONDS) -> None:
        self.wait(name, lambda raw: raw is None, "to be gone", within)

    # --- what Grafana holds

    def uid(self, name: str) -> str:
        """The default uid, for short names."""
        return f"{self.namespace}_{name}"

    def in_grafana(self, uid: str) -> Json | None:
        answer = self.grafana.get(f"datasources/uid/{uid}")
        if answer.status_code == 404:
            return None
        return cast("Json", answer.raise_for_status().json())

    def held(self, uid: str) -> Json:
        """What Grafana holds, and it does."""
        found = self.in_grafana(uid)
        assert found is not None, f"Grafana has no data source {uid}"
        return found

    def all_in_grafana(self) -> list[Json]:
        return cast("list[Json]", self.grafana.get("datasources").raise_for_status().json())

    def query(self, uid: str) -> None:
        """Let Grafana ask the back end of a data source, with whatever credentials it uses."""
        self.grafana.get(f"datasources/proxy/uid/{uid}/api/v1/labels").raise_for_status()

    # --- counting

    def kubernetes_writes(self, since: int) -> list[AuditRecord]:
        """The operator's writes in this namespace; events and leases are not counted."""
        return [
            record
            for record in self.audit.write_records(USER_AGENT, since)
            if record.namespace == self.namespace
        ]

    def writes_to(self, name: str, since: int) -> list[AuditRecord]:
        """Those writes of the operator that are about one resource."""
        return [record for record in self.kubernetes_writes(since) if record.name == name]

    def grafana_requests(self, since: int) -> list[str]:
        """The operator's requests about data sources, as "METHOD path"."""
        return [
            f"{r.method} {r.path}"
            for r in self.proxy.since(since)
            if r.path.startswith("/api/datasources") and "gdso-probe" not in r.path
        ]

    # --- the end

    def check_everywhere(self) -> None:
        """What must hold after every test: kstatus, and no secret anywhere."""
        resources = self.get_all()
        broken = {
            raw["metadata"]["name"]: rules for raw in resources if (rules := broken_rules(raw))
        }
        assert not broken, broken
        values = self.secret_values | {self.grafana_token}
        assert not find_leaks(values, self._readable_places(resources))

    def close(self) -> None:
        for operator in self.operators:
            operator.stop()
        self.proxy.stop()
        self.grafana.close()
        self._kube.close()

    def _readable_places(self, resources: list[Json]) -> dict[str, str]:
        events = self._expect(self._kube.get(f"/api/v1/namespaces/{self.namespace}/events"))
        places = {"events": json.dumps(events, ensure_ascii=False)}
        for raw in resources:
            raw["metadata"].pop("managedFields", None)
            places[raw["metadata"]["name"]] = json.dumps(raw, ensure_ascii=False)
        for operator in self.operators:
            places[operator.process.log.name] = operator.log
            if operator.process.running:
                places[f"metrics of {operator.process.log.name}"] = operator.metrics()
        return places

    @property
    def _sources(self) -> str:
        return f"{GROUP}/namespaces/{self.namespace}/grafanadatasources"

    @property
    def _secrets(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/secrets"

    def _server_side_apply(self, path: str, body: Json) -> Json:
        answer = self._kube.patch(
            path,
            content=json.dumps(body, ensure_ascii=False),  # read as YAML, which has no surrogates
            params={"fieldManager": "test", "force": "true", "fieldValidation": "Strict"},
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        return self._expect(answer)

    def _expect(self, answer: httpx.Response) -> Json:
        if not answer.is_success:
            raise RefusedError(answer.status_code, answer.json().get("message", ""))
        return cast("Json", answer.json())


def ready_of(raw: Json) -> Json:
    """The condition Ready."""
    ready = find_condition(raw, "Ready")
    assert ready is not None
    return ready


class RefusedError(Exception):
    """The apiserver refused a request of the test."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


def _tls(kubernetes: KubernetesServer) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=kubernetes.ca_pem.decode())
