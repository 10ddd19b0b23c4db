"""What a user of Kubernetes does and sees: objects of our kinds, Secrets, namespaces, events."""

import base64
import json
import secrets
import ssl
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx

from tests.kstatus import find_condition
from tests.servers.kubernetes import KubernetesServer
from tests.servers.polling import eventually

Json = dict[str, Any]

SOURCE, INSTANCE, CORRELATION = "GrafanaDataSource", "GrafanaInstance", "GrafanaCorrelation"
OUR_KINDS = (SOURCE, INSTANCE, CORRELATION)
SECONDS = 30.0
"""Deadline of a wait on a loaded machine; what is waited for takes well under a second."""

_PLURALS = {
    SOURCE: "grafanadatasources",
    INSTANCE: "grafanainstances",
    CORRELATION: "grafanacorrelations",
    "Secret": "secrets",
    "ConfigMap": "configmaps",
}
_GROUP, _CORE = "/apis/gdso.dev/v1beta1", "/api/v1"


class ClusterUser:
    """An administrator with a namespace of his own, and further ones that he adds.

    Methods are about GrafanaDataSources in his own namespace unless told otherwise.
    """

    def __init__(self, kubernetes: KubernetesServer, namespace: str) -> None:
        self.kubernetes = kubernetes
        self.namespace = namespace
        self.namespaces = [namespace]
        self.secret_values: set[str] = set()
        self._kube = httpx.Client(
            base_url=kubernetes.url,
            headers={"Authorization": f"Bearer {kubernetes.admin_token}"},
            verify=_tls(kubernetes),
            trust_env=False,
            timeout=30,
        )

    def close(self) -> None:
        self._kube.close()

    # --- namespaces

    def add_namespace(self, labels: Mapping[str, str] | None = None) -> str:
        """A further one; an operator made from now on watches it too."""
        name = f"{self.namespace}-{len(self.namespaces)}"
        metadata = {"name": name, "labels": dict(labels or {})}
        self._expect(self._kube.post(f"{_CORE}/namespaces", json={"metadata": metadata}))
        self.namespaces.append(name)
        return name

    def label_namespace(self, namespace: str, labels: Mapping[str, str | None]) -> None:
        """None removes a label."""
        self._merge_patch(f"{_CORE}/namespaces/{namespace}", {"metadata": {"labels": dict(labels)}})

    def delete_namespace(self, namespace: str) -> None:
        """It stays, terminating, unless the fixture `controller_manager` is there."""
        self._expect(self._kube.delete(f"{_CORE}/namespaces/{namespace}"))

    def wait_namespace_gone(self, namespace: str, within: float = SECONDS) -> None:
        """With a controller manager."""
        eventually(
            lambda: self._kube.get(f"{_CORE}/namespaces/{namespace}").status_code,
            lambda status: status == 404,
            within,
            f"namespace {namespace} to be gone",
        )

    # --- objects

    def apply(
        self,
        name: str,
        spec: Json,
        *,
        kind: str = SOURCE,
        namespace: str | None = None,
        **metadata: object,
    ) -> Json:
        """Create the object, or set its spec as `kubectl apply` would."""
        body = {"apiVersion": "gdso.dev/v1beta1", "kind": kind, "spec": spec}
        return self._server_side_apply(name, body, namespace, metadata)

    def apply_secret(
        self, name: str, values: Mapping[str, str | bytes], *, namespace: str | None = None
    ) -> Json:
        """Create or replace a Secret; its values count as canaries."""
        self.secret_values |= {v for v in values.values() if isinstance(v, str)}
        data = {
            key: base64.b64encode(v.encode() if isinstance(v, str) else v).decode()
            for key, v in values.items()
        }
        body = {"apiVersion": "v1", "kind": "Secret", "data": data}
        return self._server_side_apply(name, body, namespace)

    def apply_config_map(
        self, name: str, values: Mapping[str, str], *, namespace: str | None = None
    ) -> Json:
        """Create or replace a ConfigMap."""
        body = {"apiVersion": "v1", "kind": "ConfigMap", "data": dict(values)}
        return self._server_side_apply(name, body, namespace)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002
        """Its output, in this namespace."""
        return self.kubernetes.kubectl("--namespace", self.namespace, *arguments, input=input)

    def delete(self, name: str, *, kind: str = SOURCE, namespace: str | None = None) -> None:
        self._expect(self._kube.delete(self._path(kind, namespace, name)))

    def delete_secret(self, name: str, *, namespace: str | None = None) -> None:
        self.delete(name, kind="Secret", namespace=namespace)

    def delete_config_map(self, name: str, *, namespace: str | None = None) -> None:
        self.delete(name, kind="ConfigMap", namespace=namespace)

    def annotate(
        self,
        name: str,
        key: str,
        value: str | None,
        *,
        kind: str = SOURCE,
        namespace: str | None = None,
    ) -> None:
        patch = {"metadata": {"annotations": {key: value}}}
        self.patch(name, patch, kind=kind, namespace=namespace)

    def patch(
        self, name: str, patch: Json, *, kind: str = SOURCE, namespace: str | None = None
    ) -> Json:
        """A merge patch, as `kubectl patch --type merge` sends it."""
        return self._merge_patch(self._path(kind, namespace, name), patch)

    def get(self, name: str, *, kind: str = SOURCE, namespace: str | None = None) -> Json | None:
        """The object as it is, or None."""
        answer = self._kube.get(self._path(kind, namespace, name))
        return None if answer.status_code == 404 else self._expect(answer)

    def get_all(self, *, kind: str = SOURCE, namespace: str | None = None) -> list[Json]:
        """Empty also where the kind is not served."""
        answer = self._kube.get(self._path(kind, namespace))
        if answer.status_code == 404:
            return []
        items = cast("list[Json]", self._expect(answer)["items"])
        return [{"kind": kind, **item} for item in items]

    def events(self, name: str, *, kind: str = SOURCE, namespace: str | None = None) -> list[Json]:
        """Events about one object, oldest first."""
        selector = f"involvedObject.name={name},involvedObject.kind={kind}"
        found = self._all_events(namespace, fieldSelector=selector)
        return sorted(found, key=lambda e: int(e["metadata"]["resourceVersion"]))

    # --- waiting

    def wait(
        self,
        name: str,
        until: Callable[[Json | None], bool],
        what: str,
        within: float = SECONDS,
        *,
        kind: str = SOURCE,
        namespace: str | None = None,
    ) -> Json | None:
        def look() -> Json | None:
            return self.get(name, kind=kind, namespace=namespace)

        return eventually(look, until, within, f"{kind} {name}: {what}")

    def wait_until(
        self,
        name: str,
        until: Callable[[Json], bool],
        what: str,
        within: float = SECONDS,
        *,
        kind: str = SOURCE,
        namespace: str | None = None,
    ) -> Json:
        """For an object that is there."""

        def is_there(raw: Json | None) -> bool:
            return raw is not None and until(raw)

        return cast("Json", self.wait(name, is_there, what, within, kind=kind, namespace=namespace))

    def wait_for_reason(
        self,
        name: str,
        reason: str,
        *,
        message: str = "",
        within: float = SECONDS,
        kind: str = SOURCE,
        namespace: str | None = None,
    ) -> Json:
        """Until Ready has `reason` for the present generation, with `message` in its text."""

        def has_reason(raw: Json) -> bool:
            ready = _present_ready(raw)
            return ready.get("reason") == reason and message in ready["message"]

        what = f"reason {reason} {message}"
        return self.wait_until(name, has_reason, what, within, kind=kind, namespace=namespace)

    def wait_ready(
        self,
        name: str,
        within: float = SECONDS,
        *,
        kind: str = SOURCE,
        namespace: str | None = None,
    ) -> Json:
        """Until Ready is True for the present generation, and it is synced."""
        return self.wait_for_reason(name, "Synced", within=within, kind=kind, namespace=namespace)

    def wait_instance_ready(
        self, name: str, within: float = SECONDS, *, namespace: str | None = None
    ) -> Json:
        """The same for a GrafanaInstance, whatever the reason."""

        def is_ready(raw: Json) -> bool:
            return _present_ready(raw).get("status") == "True"

        return self.wait_until(
            name, is_ready, "to be ready", within, kind=INSTANCE, namespace=namespace
        )

    def wait_gone(
        self,
        name: str,
        within: float = SECONDS,
        *,
        kind: str = SOURCE,
        namespace: str | None = None,
    ) -> None:
        self.wait(
            name, lambda raw: raw is None, "to be gone", within, kind=kind, namespace=namespace
        )

    def wait_for_event(
        self, name: str, reason: str, *, kind: str = SOURCE, namespace: str | None = None
    ) -> Json:
        """The first one with this reason."""

        def matching() -> list[Json]:
            found = self.events(name, kind=kind, namespace=namespace)
            return [event for event in found if event["reason"] == reason]

        return eventually(matching, bool, SECONDS, f"{kind} {name}: the event {reason}")[0]

    def request_reconcile(
        self, name: str, *, kind: str = SOURCE, namespace: str | None = None
    ) -> Json:
        """Ask for another look, and wait until it has happened."""
        request = secrets.token_hex(4)
        self.annotate(
            name, "gdso.dev/reconcile-requested-at", request, kind=kind, namespace=namespace
        )
        return self.wait_until(
            name,
            lambda raw: raw["status"].get("lastHandledReconcileAt") == request,
            "another look",
            kind=kind,
            namespace=namespace,
        )

    # --- requests

    def _path(self, kind: str, namespace: str | None, name: str = "") -> str:
        group = _GROUP if kind in OUR_KINDS else _CORE
        path = f"{group}/namespaces/{namespace or self.namespace}/{_PLURALS[kind]}"
        return f"{path}/{name}" if name else path

    def _all_events(self, namespace: str | None, **selectors: str) -> list[Json]:
        path = f"{_CORE}/namespaces/{namespace or self.namespace}/events"
        return cast("list[Json]", self._expect(self._kube.get(path, params=selectors))["items"])

    def _server_side_apply(
        self,
        name: str,
        body: Json,
        namespace: str | None,
        metadata: Mapping[str, object] | None = None,
    ) -> Json:
        namespace = namespace or self.namespace
        body = {**body, "metadata": {"name": name, "namespace": namespace, **(metadata or {})}}
        answer = self._kube.patch(
            self._path(body["kind"], namespace, name),
            content=json.dumps(body, ensure_ascii=False),  # read as YAML, which has no surrogates
            params={"fieldManager": "test", "force": "true", "fieldValidation": "Strict"},
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        return self._expect(answer)

    def _merge_patch(self, path: str, patch: Json) -> Json:
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._expect(self._kube.patch(path, content=json.dumps(patch), headers=headers))

    def _expect(self, answer: httpx.Response) -> Json:
        if not answer.is_success:
            raise RefusedError(answer.status_code, answer.json().get("message", ""))
        return cast("Json", answer.json())


def ready_of(raw: Json) -> Json:
    """The condition Ready."""
    ready = find_condition(raw, "Ready")
    assert ready is not None
    return ready


def _present_ready(raw: Json) -> Json:
    """Ready if it speaks of the present generation, else nothing."""
    ready = find_condition(raw, "Ready") or {}
    is_present = ready.get("observedGeneration") == raw["metadata"]["generation"]
    return ready if is_present else {}


class RefusedError(Exception):
    """The apiserver refused a request of the test."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


def _tls(kubernetes: KubernetesServer) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=kubernetes.ca_pem.decode())
