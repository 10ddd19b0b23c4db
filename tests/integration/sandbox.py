"""One test's corner of the world: namespaces, organizations of Grafana, and operators."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path

from tests.canary import find_leaks
from tests.integration.cluster_user import INSTANCE as INSTANCE
from tests.integration.cluster_user import OUR_KINDS, ClusterUser
from tests.integration.cluster_user import SECONDS as SECONDS
from tests.integration.cluster_user import SOURCE as SOURCE
from tests.integration.cluster_user import Json as Json
from tests.integration.cluster_user import RefusedError as RefusedError
from tests.integration.cluster_user import ready_of as ready_of
from tests.kstatus import broken_rules
from tests.servers.audit_log import AuditLog, AuditRecord
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.operator_process import USER_AGENT, OperatorProcess
from tests.servers.service_account import apply_service_account
from tests.servers.target import Target

NO_DEFAULT_INSTANCE: Mapping[str, None] = {
    "GDSO_GRAFANA_URL": None,
    "GDSO_GRAFANA_TOKEN": None,
    "GDSO_GRAFANA_ORG_ID": None,
}
"""For `make_operator`: nothing but GrafanaInstances."""
CLUSTER_WIDE: Mapping[str, str] = {"GDSO_NAMESPACES": ""}
"""For `make_operator`, on a server of one's own: the operator sees what other tests do."""


def default_instance(name: str) -> dict[str, str | None]:
    """For `make_operator`: the GrafanaInstance `namespace/name` is the default one."""
    return {**NO_DEFAULT_INSTANCE, "GDSO_DEFAULT_INSTANCE": name}


class Sandbox(ClusterUser):
    """What a test does as a user (`apply`, `delete`), and what it looks at.

    `target` is the operator's default instance; `add_grafana` makes others.
    """

    def __init__(
        self,
        *,
        kubernetes: KubernetesServer,
        grafana: Grafana,
        namespace: str,
        org_id: int | None = None,
        directory: Path,
    ) -> None:
        """In the namespace, which is there, and in a new organization unless it is given."""
        super().__init__(kubernetes, namespace)
        self.directory = directory
        self.audit = AuditLog(kubernetes.audit_log)
        self.target = Target(grafana, org_id)
        self.targets = [self.target]
        self.operators: list[OperatorProcess] = []
        self.org_id = self.target.org_id
        self.grafana_token = self.target.token
        self.proxy = self.target.proxy
        self.grafana = self.target.client

    # --- operators

    def make_operator(
        self, *, kubeconfig: Path | str | None = None, **settings: str | None
    ) -> OperatorProcess:
        """An operator for this sandbox, not started; by default as the administrator.

        `settings` are variables over the sandbox's own; None removes one.
        """
        merged = {**self._settings(), **settings}
        operator = OperatorProcess(
            Path(kubeconfig or self.kubernetes.kubeconfig),
            self.directory / f"operator-{len(self.operators)}.log",
            {name: value for name, value in merged.items() if value is not None},
        )
        self.operators.append(operator)
        return operator

    def start_operator(
        self, *, kubeconfig: Path | str | None = None, **settings: str | None
    ) -> OperatorProcess:
        return self.make_operator(kubeconfig=kubeconfig, **settings).start()

    def make_service_account(self, *rbac: Json, name: str = "operator") -> Path:
        """Its kubeconfig: with it an operator may do what `rbac`, applied here, says.

        `rbac` are manifests of roles and bindings, see tests.servers.service_account.bound_role.
        """
        path = self.directory.with_name(f"{self.namespace}-{name}.kubeconfig")
        return apply_service_account(self.kubernetes, path, self.namespace, name, rbac)

    # --- instances

    def add_grafana(
        self,
        grafana: Grafana | None = None,
        org_id: int | None = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> Target:
        """A further organization, by default of the sandbox's own server, behind its own proxy."""
        target = Target(grafana or self.target.server, org_id, tls=tls)
        self.targets.append(target)
        return target

    def apply_instance(
        self,
        name: str,
        target: Target,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        **spec: object,
    ) -> Json:
        """A GrafanaInstance for `target`, and the Secret `<name>-token` unless `auth` is given.

        `spec` goes over what is known of the target; None removes a field.
        """
        if "auth" not in spec:
            self.apply_secret(f"{name}-token", {"token": target.token}, namespace=namespace)
        merged: Json = {
            "url": target.url,
            "orgId": target.org_id,
            "auth": {"tokenSecretRef": {"name": f"{name}-token", "key": "token"}},
            **spec,
        }
        kept = {field: value for field, value in merged.items() if value is not None}
        metadata = {"labels": dict(labels)} if labels else {}
        return self.apply(name, kept, kind=INSTANCE, namespace=namespace, **metadata)

    # --- what the sandbox's own organization holds

    def uid(self, name: str, *, namespace: str | None = None) -> str:
        """The default uid, for short names."""
        return f"{namespace or self.namespace}_{name}"

    def in_grafana(self, uid: str) -> Json | None:
        return self.target.in_grafana(uid)

    def held(self, uid: str) -> Json:
        """What Grafana holds, and it does."""
        return self.target.held(uid)

    def all_in_grafana(self) -> list[Json]:
        return self.target.all_in_grafana()

    def query(self, uid: str) -> None:
        """Let Grafana ask the back end of a data source, with whatever credentials it uses."""
        self.target.query(uid)

    # --- counting

    def kubernetes_writes(self, since: int) -> list[AuditRecord]:
        """The operator's writes in the sandbox's namespaces; events and leases are not counted."""
        return [
            record
            for record in self.audit.write_records(USER_AGENT, since)
            if record.namespace in self.namespaces
        ]

    def writes_to(self, name: str, since: int) -> list[AuditRecord]:
        """Those writes of the operator that are about one resource."""
        return [record for record in self.kubernetes_writes(since) if record.name == name]

    def grafana_requests(self, since: int) -> list[str]:
        """The operator's requests about data sources to `target`, as "METHOD path"."""
        return [f"{r.method} {r.path}" for r in self.target.requests(since)]

    # --- the end

    def check_everywhere(self) -> None:
        """What must hold after every test: kstatus, and no secret anywhere."""
        resources = {
            f"{kind} {namespace}/{raw['metadata']['name']}": raw
            for namespace in self.namespaces
            for kind in OUR_KINDS
            for raw in self.get_all(kind=kind, namespace=namespace)
        }
        broken = {key: rules for key, raw in resources.items() if (rules := broken_rules(raw))}
        assert not broken, broken
        values = self.secret_values | {target.token for target in self.targets}
        leaks = find_leaks(values, self._readable_places(resources))
        assert not leaks, leaks

    def restore_proxies(self) -> None:
        """Take back every fault of every way to Grafana."""
        for target in self.targets:
            target.proxy.clear()
            target.proxy.accept()

    def close(self) -> None:
        for operator in self.operators:
            operator.process.stop(within_seconds=40)  # also one that was never started
        for target in self.targets:
            target.close()
        super().close()

    def _settings(self) -> dict[str, str]:
        return {
            "GDSO_NAMESPACES": ",".join(self.namespaces),
            "GDSO_GRAFANA_URL": self.target.url,
            "GDSO_GRAFANA_TOKEN": self.target.token,
            "GDSO_GRAFANA_ORG_ID": str(self.org_id),
            "GDSO_OWNER_ID": f"owner-{self.namespace}",
        }

    def _readable_places(self, resources: Mapping[str, Json]) -> dict[str, str]:
        places = {
            f"events of {namespace}": json.dumps(self._all_events(namespace), ensure_ascii=False)
            for namespace in self.namespaces
        }
        for key, raw in resources.items():
            raw["metadata"].pop("managedFields", None)
            places[key] = json.dumps(raw, ensure_ascii=False)
        for operator in self.operators:
            places[operator.process.log.name] = operator.log
            if operator.process.running:
                places[f"metrics of {operator.process.log.name}"] = operator.metrics()
        return places
