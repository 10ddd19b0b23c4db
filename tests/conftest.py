"""Servers for tests: started when a test first asks for one, and named in the run's report."""

import contextlib
import os
import shutil
import ssl
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.servers import ran_against
from tests.servers.audit_log import AuditLog
from tests.servers.echo import EchoServer
from tests.servers.fault_proxy import FaultProxy
from tests.servers.grafana import (
    Grafana,
    GrafanaServer,
    Settings,
    given_grafana_url,
)
from tests.servers.grafana_choice import (
    GrafanaChoice,
    GrafanaPool,
    contract_choices,
    every_choice,
    main_choice,
    real_choices,
)
from tests.servers.grafana_doubles import GrafanaDoubleServer
from tests.servers.grafana_homes import GrafanaMissingError
from tests.servers.kubernetes import Kubernetes, KubernetesServer
from tests.servers.kubernetes_binaries import (
    KubernetesBinaries,
    find_kubectl,
    find_or_build,
    with_controller_manager,
)
from tests.servers.kubernetes_given import GivenKubernetes
from tests.servers.process import ServerProcess

Binaries = Callable[[], KubernetesBinaries]


class StartGrafana(Protocol):
    """What `fresh_grafana` is."""

    def __call__(
        self,
        *,
        like: Grafana | None = None,
        settings: Settings | None = None,
        provisioned: bool = False,
    ) -> GrafanaServer | GrafanaDoubleServer: ...


class StartProxy(Protocol):
    """What `fault_proxy_to` is: arguments as of FaultProxy."""

    def __call__(
        self,
        upstream: str,
        ca: Path | bytes | None = None,
        *,
        record_bodies: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> FaultProxy: ...


_PARAMETRIZED = {"contract_grafana": contract_choices, "every_grafana": every_choice}

_binaries = pytest.StashKey[Binaries]()
_kubernetes = pytest.StashKey[str]()
_grafanas = pytest.StashKey[GrafanaPool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kubeconfig",
        default=os.environ.get("GDSO_TEST_KUBECONFIG"),
        help="test against this existing cluster (as administrator) instead of starting one",
    )


def pytest_configure() -> None:
    try:
        main_choice()
    except GrafanaMissingError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_report_header(config: pytest.Config) -> list[str]:
    given = config.getoption("--kubeconfig")
    cluster = f"the cluster of {given}" if given else "started for this run"
    grafanas = ", ".join(str(choice) for choice in contract_choices())
    return [f"Kubernetes: {cluster}", f"Grafana: {main_choice()}; contract tests: {grafanas}"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for outcome in ("passed", "failed", "xfailed", "xpassed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
    ]
    if lines := ran_against.summary_lines(reports):
        terminalreporter.section("ran against")
        for line in lines:
            terminalreporter.write_line(line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, choices in _PARAMETRIZED.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, choices(), ids=str, indirect=True, scope="session")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build Kubernetes here: the time limit of a test would end the build."""
    config = session.config
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if config.option.collectonly or config.getoption("--kubeconfig"):
        return
    if "kubernetes" in wanted:
        config.stash[_binaries] = _found_binaries(config, "controller_manager" in wanted)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    names = getattr(item, "fixturenames", ())
    if "kubernetes" in names:
        ran_against.note(item, f"Kubernetes: {item.config.stash[_kubernetes]}")
    for choice in _choices_of(item):
        ran_against.note(item, f"Grafana: {item.config.stash[_grafanas].describe(choice)}")
    return (yield)


def _choices_of(item: pytest.Item) -> list[GrafanaChoice]:
    names = getattr(item, "fixturenames", ())
    choices: list[GrafanaChoice] = []
    for name in _PARAMETRIZED.keys() & set(names):
        assert isinstance(item, pytest.Function)
        choice = item.callspec.params[name]
        assert isinstance(choice, GrafanaChoice)
        choices.append(choice)
    if "grafana" in names or ("fresh_grafana" in names and not choices):
        choices.append(main_choice())
    if "real_grafanas" in names:
        choices += real_choices()
    return choices


def _found_binaries(config: pytest.Config, needs_controller_manager: bool) -> Binaries:
    """Answers the binaries, or raises in the tests that wanted them why there are none."""
    tell = _progress(config)
    try:
        binaries = find_or_build(tell)
        if needs_controller_manager:
            binaries = with_controller_manager(binaries, tell)
    except Exception as error:  # noqa: BLE001 - kept for the tests
        kept = error

        def refuse() -> KubernetesBinaries:
            raise kept

        return refuse
    return lambda: binaries


def _progress(config: pytest.Config) -> Callable[[str], None]:
    capture = config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            print(line, file=sys.stderr, flush=True)

    return tell


@pytest.fixture(scope="session")
def kubernetes(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubernetes]:
    """A cluster with an administrator: tests make their own namespaces in it."""
    directory = tmp_path_factory.mktemp("kubernetes")
    if given := pytestconfig.getoption("--kubeconfig"):
        kubectl = find_kubectl(_progress(pytestconfig))
        existing = GivenKubernetes(kubectl, Path(given), directory)
        pytestconfig.stash[_kubernetes] = existing.description
        yield existing
        return
    with KubernetesServer(pytestconfig.stash[_binaries](), directory) as server:
        pytestconfig.stash[_kubernetes] = server.description
        yield server
    shutil.rmtree(directory / "etcd")  # pytest keeps the directories of the last three runs


@pytest.fixture(scope="session")
def kubernetes_server(kubernetes: Kubernetes) -> KubernetesServer:
    """The same, for tests that stop it, read its audit log or need its users."""
    if not isinstance(kubernetes, KubernetesServer):
        pytest.skip("needs a kube-apiserver of its own, and an existing cluster was given")
    return kubernetes


@pytest.fixture
def own_kubernetes(
    kubernetes_server: KubernetesServer, tmp_path: Path
) -> Iterator[KubernetesServer]:
    """For one test only, which may stop it; without our CRDs."""
    with KubernetesServer(kubernetes_server.binaries, tmp_path / "kubernetes") as server:
        yield server


@pytest.fixture(scope="module")
def controller_manager(kubernetes_server: KubernetesServer) -> Iterator[ServerProcess]:
    """For the tests of a module whose deleted namespaces must go, 5 s later at the earliest."""
    with kubernetes_server.controller_manager() as process:
        yield process


@pytest.fixture(scope="session")
def audit_log(kubernetes_server: KubernetesServer) -> AuditLog:
    return AuditLog(kubernetes_server.audit_log)


@pytest.fixture(scope="session")
def grafana_pool(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GrafanaPool]:
    pool = GrafanaPool(tmp_path_factory.mktemp("grafana"))
    pytestconfig.stash[_grafanas] = pool
    try:
        yield pool
    finally:
        pool.stop()


@pytest.fixture(scope="session")
def real_grafanas(grafana_pool: GrafanaPool) -> list[Grafana]:
    """Every real server; empty where there is none."""
    return [grafana_pool.shared(choice) for choice in real_choices()]


@pytest.fixture(scope="session")
def grafana(grafana_pool: GrafanaPool) -> Grafana:
    """The newest real server, else the newest double; shared by all tests."""
    return grafana_pool.shared(main_choice())


@pytest.fixture(scope="session")
def contract_grafana(grafana_pool: GrafanaPool, request: pytest.FixtureRequest) -> Grafana:
    """In turn every real server and every version of the double."""
    return grafana_pool.shared(request.param)


@pytest.fixture(scope="session")
def every_grafana(grafana_pool: GrafanaPool, request: pytest.FixtureRequest) -> Grafana:
    """In turn every version: the real server where there is one, else the double."""
    return grafana_pool.shared(request.param)


@pytest.fixture
def fresh_grafana(grafana_pool: GrafanaPool) -> Iterator[StartGrafana]:
    """Starts further servers for one test only, of the version of `like` or else of `grafana`."""
    if given_grafana_url():
        pytest.skip("needs a Grafana of its own, and an existing one was given")
    with contextlib.ExitStack() as started:

        def start(
            *,
            like: Grafana | None = None,
            settings: Settings | None = None,
            provisioned: bool = False,
        ) -> GrafanaServer | GrafanaDoubleServer:
            choice = grafana_pool.choice_of(like) if like else main_choice()
            server = grafana_pool.make(choice, settings=settings, provisioned=provisioned)
            started.callback(server.stop)
            return server.start()

        yield start


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    """A back end for data sources that shows which credentials it is sent."""
    with EchoServer() as server:
        yield server


@pytest.fixture
def fault_proxy_to() -> Iterator[StartProxy]:
    """Starts a FaultProxy that ends with the test."""
    with contextlib.ExitStack() as proxies:

        def start(
            upstream: str,
            ca: Path | bytes | None = None,
            *,
            record_bodies: bool = False,
            tls: ssl.SSLContext | None = None,
        ) -> FaultProxy:
            proxy = FaultProxy(upstream, ca, record_bodies=record_bodies, tls=tls)
            return proxies.enter_context(proxy)

        yield start
