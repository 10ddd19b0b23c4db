"""The servers of the demo: found or built, started, and left running for the user to look at."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.servers.grafana import Grafana, GrafanaServer
from tests.servers.grafana_doubles import GrafanaDoubleServer
from tests.servers.grafana_homes import find_grafanas
from tests.servers.kubernetes import KubernetesServer
from tests.servers.kubernetes_binaries import find_or_build
from tests.servers.operator_process import OperatorProcess
from tests.servers.process import ProcessIdentity, ServerProcess

DIRECTORY = Path(__file__).parents[2] / ".demo"
_STATE = DIRECTORY / "processes.json"
_DOUBLE_VERSION = "12.4.0"


@dataclass(frozen=True)
class Demo:
    """What runs."""

    kubernetes: KubernetesServer
    grafana: Grafana
    operator: OperatorProcess

    def processes(self) -> list[ServerProcess]:
        """In the order in which to stop them."""
        return [self.operator.process, _process_of(self.grafana), *self.kubernetes.processes]


def say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def run(*, once: bool) -> Iterator[Demo]:
    """Start everything; unless `once`, leave it running when the story was told."""
    say(stop_running())
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    started: list[ServerProcess] = []
    try:
        demo = _start(started)
        yield demo
    except BaseException:
        _stop(started)
        raise
    if once:
        _stop(started)
        return
    identities = [asdict(process.let_go()) for process in demo.processes()]
    _STATE.write_text(json.dumps(identities))


def stop_running() -> str:
    """Stop what an earlier demo left running, by its recorded processes only."""
    if not _STATE.exists():
        return "No demo is running."
    for identity in json.loads(_STATE.read_text()):
        ProcessIdentity(**identity).stop()
    _STATE.unlink()
    return "Stopped the demo that was running."


def _start(started: list[ServerProcess]) -> Demo:
    say(
        "Looking for kube-apiserver and etcd (built from their Go modules where there are none) ..."
    )
    binaries = find_or_build(say)
    kubernetes = KubernetesServer(binaries, DIRECTORY / "kubernetes", outlive=True).start()
    started += kubernetes.processes
    say(f"Kubernetes: {kubernetes.description}, at {kubernetes.url}")
    grafana = _start_grafana()
    started.insert(0, _process_of(grafana))
    say(f"Grafana: {grafana.version} ({_describe(grafana)}), at {grafana.url}")
    operator = OperatorProcess(
        kubernetes.kubeconfig,
        DIRECTORY / "operator.log",
        {
            "GDSO_DEFAULT_INSTANCE": "default/main",
            "GDSO_LOG_FORMAT": "text",
            "GDSO_LOG_LEVEL": "INFO",
        },
        outlive=True,
    )
    started.insert(0, operator.process)
    return Demo(kubernetes, grafana, operator)


def _start_grafana() -> GrafanaServer | GrafanaDoubleServer:
    homes = find_grafanas()
    directory = DIRECTORY / "grafana"
    if homes:
        say(f"Starting Grafana {homes[-1].version}; its first start takes up to a minute ...")
        return GrafanaServer(homes[-1], directory, outlive=True).start()
    say("No Grafana server found (GDSO_TEST_GRAFANA_HOMES): using tests/grafana_double")
    return GrafanaDoubleServer(_DOUBLE_VERSION, directory, outlive=True).start()


def _describe(grafana: Grafana) -> str:
    return "a real server" if grafana.kind == "server" else "the test double"


def _process_of(grafana: Grafana) -> ServerProcess:
    if not isinstance(grafana, (GrafanaServer, GrafanaDoubleServer)):
        raise TypeError("the demo starts its own Grafana")
    return grafana.process


def _stop(processes: list[ServerProcess]) -> None:
    for process in processes:
        process.stop()
