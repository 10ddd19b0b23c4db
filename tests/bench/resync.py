"""What a restart and a resync cost, counted at a proxy before Grafana and in the audit log."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.stage import Stage
from tests.servers.audit_log import AuditLog
from tests.servers.faults import ProxiedRequest, requests_of
from tests.servers.operator_process import USER_AGENT, OperatorProcess
from tests.servers.polling import eventually_async

INTERVAL_SECONDS = 30
_PATIENCE_SECONDS = 120
_LIST = requests_of("GET", path_pattern=r"^/api/datasources$")
_ABOUT_ONE = requests_of(path_pattern=r"^/api/datasources/uid/(?!gdso-probe)")


@dataclass(frozen=True)
class Cost:
    """Of one span of time."""

    lists: int
    reads: int
    most_in_a_second: int
    grafana_writes: int
    kubernetes_writes: int


async def restart_and_resync(stage: Stage, directory: Path, count: int) -> tuple[Cost, Cost]:
    """With `count` resources in sync: a restart until each was read, and then list to list."""
    audit, proxy = AuditLog(stage.kubernetes.audit_log), stage.proxy
    stage.operator.stop()
    settings = {
        **stage.operator.settings,
        "GDSO_GRAFANA_URL": proxy.url,
        "GDSO_RESYNC_INTERVAL": f"{INTERVAL_SECONDS}s",
    }
    mark, grafana = audit.mark(), proxy.mark()

    def cost() -> Cost:
        return _cost(proxy.since(grafana), len(audit.write_records(USER_AGENT, mark)))

    with OperatorProcess(stage.kubernetes.kubeconfig, directory / "resync.log", settings):
        await _until(lambda: len(_uids(proxy.since(grafana))) >= count)
        restart = cost()
        await _until(lambda: bool(proxy.matching(_LIST, grafana)))
        mark, grafana = audit.mark(), proxy.mark()
        await _until(lambda: bool(proxy.matching(_LIST, grafana)))
        return restart, cost()


def _uids(requests: list[ProxiedRequest]) -> set[str]:
    return {request.path for request in requests if _ABOUT_ONE(request)}


def _cost(requests: list[ProxiedRequest], kubernetes_writes: int) -> Cost:
    reads = [request for request in requests if _ABOUT_ONE(request) and request.method == "GET"]
    seconds = Counter(int(request.time) for request in reads)
    return Cost(
        lists=sum(1 for request in requests if _LIST(request)),
        reads=len(reads),
        most_in_a_second=max(seconds.values(), default=0),
        grafana_writes=sum(1 for request in requests if request.method != "GET"),
        kubernetes_writes=kubernetes_writes,
    )


async def _until(is_so: Callable[[], bool]) -> None:
    async def look() -> bool:
        return is_so()

    await eventually_async(look, bool, _PATIENCE_SECONDS, "the requests of the span to be over")
