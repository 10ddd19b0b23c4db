"""A real kube-apiserver with etcd on loopback, each run with its own data, CA and users."""

import json
import secrets
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import httpx

from tests.servers.certificates import (
    CertificateAuthority,
    Issued,
    service_account_key,
    write_private,
)
from tests.servers.kubeconfig import write_kubeconfig
from tests.servers.kubectl import Kubectl
from tests.servers.kubernetes_binaries import BinariesMissingError, KubernetesBinaries
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

_START_SECONDS = 60  # a loaded machine; it takes three on an idle one
_NAMESPACES = ("default", "kube-system")
_CONTROLLERS = ("namespace-controller", "clusterrole-aggregation-controller")


class Kubernetes(Protocol):
    """What every test may use: a server started for the tests or an existing cluster."""

    @property
    def url(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def description(self) -> str:
        """For the report of a test run."""
        ...

    @property
    def kubeconfig(self) -> Path:
        """Of an administrator."""
        ...

    @property
    def kubectl(self) -> Kubectl: ...


@dataclass(frozen=True)
class User:
    """A user that the server knows by a static token; its rights are RBAC's."""

    name: str
    token: str
    groups: tuple[str, ...] = ()


class KubernetesServer:
    """etcd and kube-apiserver below one directory.

    Nobody creates service accounts in new namespaces or collects orphans. Only while there is a
    `controller_manager`, namespaces that are deleted go and ClusterRoles are aggregated (else view,
    edit and admin are empty).
    """

    def __init__(
        self,
        binaries: KubernetesBinaries,
        directory: Path,
        *,
        users: Sequence[User] = (),
        outlive: bool = False,
    ) -> None:
        """`users` besides the administrator; `outlive` as in ServerProcess."""
        self.binaries = binaries
        self.directory = directory
        self.version = binaries.version
        self.description = f"kube-apiserver {binaries.version} {binaries.source}"
        self.url = f"https://127.0.0.1:{free_port()}"
        self.admin_token = secrets.token_urlsafe(24)
        self.audit_log = directory / "audit.log"
        self.kubeconfig = directory / "admin.kubeconfig"
        self.ca = directory / "ca.crt"
        self._authority = CertificateAuthority("gdso test cluster")
        self._users = [User("admin", self.admin_token, ("system:masters",)), *users]
        self._etcd_url = f"http://127.0.0.1:{free_port()}"
        self._write_files()
        self.kubectl = Kubectl(binaries.kubectl, self.kubeconfig, directory / "home")
        self._etcd = ServerProcess(
            "etcd", self._etcd_command(binaries.etcd), directory / "etcd.log", outlive=outlive
        )
        self._apiserver = ServerProcess(
            "kube-apiserver",
            self._apiserver_command(binaries.kube_apiserver),
            directory / "kube-apiserver.log",
            outlive=outlive,
        )

    @property
    def ca_pem(self) -> bytes:
        return self._authority.pem

    @property
    def processes(self) -> tuple[ServerProcess, ServerProcess]:
        """The apiserver and etcd, in the order in which to stop them."""
        return self._apiserver, self._etcd

    def start(self) -> Self:
        try:
            self._etcd.start()
            self._etcd.wait_ready(self._etcd_is_ready, _START_SECONDS)
            self.start_apiserver()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Quick rather than gracious: the data go with the directory."""
        for process in self.processes:
            process.stop(within_seconds=2)

    def start_apiserver(self) -> None:
        """On the same port, with what etcd holds."""
        self._apiserver.start()
        with self._admin_client() as client:
            self._apiserver.wait_ready(lambda: _is_ready(client), _START_SECONDS)

    def stop_apiserver(self) -> None:
        """An outage: connections are refused or cut; etcd stays."""
        self._apiserver.kill()

    @contextmanager
    def controller_manager(self) -> Iterator[ServerProcess]:
        """Let namespaces go and aggregate ClusterRoles, until the context ends.

        A namespace goes 5 s after its deletion at the earliest. `binaries` must have the program,
        see `with_controller_manager`.
        """
        port = free_port()
        process = ServerProcess(
            "kube-controller-manager",
            self._controller_manager_command(port),
            self.directory / "kube-controller-manager.log",
        )
        with process, self._admin_client() as client:
            process.wait_ready(
                lambda: client.get(f"https://127.0.0.1:{port}/healthz").is_success, _START_SECONDS
            )
            yield process

    def write_kubeconfig(
        self,
        path: Path,
        *,
        server: str | None = None,
        token: str | None = None,
        client: Issued | None = None,
        namespace: str | None = None,
    ) -> Path:
        """By default for the administrator, straight to this server.

        A plain http `server`, such as a proxy, gets no CA.
        """
        server = server or self.url
        return write_kubeconfig(
            path,
            server=server,
            ca=self.ca_pem if server.startswith("https:") else None,
            token=token or (None if client else self.admin_token),
            client=client,
            namespace=namespace,
        )

    def server_context(self) -> ssl.SSLContext:
        """For a proxy before this server that clients trust as they trust the server.

        Go clients, kubectl among them, send no credentials over plain http.
        """
        return self._authority.issue_server().server_context()

    def client_certificate(self, user: str, groups: tuple[str, ...] = ()) -> Issued:
        """A further user, at any time and without a restart."""
        return self._authority.issue_client(user, groups)

    def service_account_kubeconfig(self, path: Path, namespace: str, name: str) -> Path:
        """For an existing service account: its client may do what RBAC says and nothing more."""
        token = self.service_account_token(namespace, name)
        return self.write_kubeconfig(path, token=token, namespace=namespace)

    def service_account_token(self, namespace: str, name: str, duration: str = "1h") -> str:
        """For an existing service account, with its RBAC rights and nothing more."""
        return self.kubectl(
            "create", "token", name, "--namespace", namespace, "--duration", duration
        ).strip()

    def _admin_client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.admin_token}"},
            verify=ssl.create_default_context(cafile=str(self.ca)),
            timeout=5,
            trust_env=False,
        )

    def _etcd_is_ready(self) -> bool:
        answer = httpx.get(f"{self._etcd_url}/health", timeout=5, trust_env=False)
        return answer.status_code == httpx.codes.OK

    def _write_files(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca.write_bytes(self.ca_pem)
        self._authority.issue_server("kubernetes.default.svc").write(self.directory, "serving")
        private, public = service_account_key()
        write_private(self.directory / "service-account.key", private)
        (self.directory / "service-account.pub").write_bytes(public)
        tokens = "".join(_token_line(user) for user in self._users)
        write_private(self.directory / "tokens.csv", tokens.encode())
        (self.directory / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
        self.write_kubeconfig(self.kubeconfig)

    def _etcd_command(self, etcd: Path) -> list[str]:
        return [
            str(etcd),
            f"--data-dir={self.directory / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--log-level=warn",
        ]

    def _apiserver_command(self, kube_apiserver: Path) -> list[str]:
        files = self.directory
        return [
            str(kube_apiserver),
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.url.rpartition(':')[2]}",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--tls-cert-file={files / 'serving.crt'}",
            f"--tls-private-key-file={files / 'serving.key'}",
            f"--client-ca-file={self.ca}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={files / 'service-account.pub'}",
            f"--service-account-signing-key-file={files / 'service-account.key'}",
            f"--token-auth-file={files / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            # Without a controller manager no namespace gets the account that this one demands.
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={files / 'audit-policy.json'}",
            f"--audit-log-path={self.audit_log}",
            # A record is in the file before its answer leaves, so that counts are exact.
            "--audit-log-mode=blocking",
            "--audit-log-maxsize=100000",  # MB: no rotation, marks are offsets into one file
            f"--cert-dir={files / 'certificates'}",
            "--profiling=false",
        ]

    def _controller_manager_command(self, port: int) -> list[str]:
        program = self.binaries.kube_controller_manager
        if program is None:
            raise BinariesMissingError(
                f"there is no kube-controller-manager {self.binaries.source}"
            )
        files = self.directory
        return [
            str(program),
            *(
                f"--{kind}kubeconfig={self.kubeconfig}"
                for kind in ("", "authentication-", "authorization-")
            ),
            f"--controllers={','.join(_CONTROLLERS)}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={files / 'serving.crt'}",
            f"--tls-private-key-file={files / 'serving.key'}",
            "--kube-api-qps=200",  # by default 20: what a namespace holds goes kind by kind
            "--kube-api-burst=400",
            "--profiling=false",
        ]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "Metadata"},
    ],
}


def _token_line(user: User) -> str:
    groups = ",".join(user.groups)
    return f'{user.token},{user.name},{user.name},"{groups}"\n'


def _is_ready(client: httpx.Client) -> bool:
    # Ready is said before the namespaces of the system are there.
    answers = [
        client.get(path)
        for path in ("/readyz", *(f"/api/v1/namespaces/{name}" for name in _NAMESPACES))
    ]
    return all(answer.status_code == httpx.codes.OK for answer in answers)
