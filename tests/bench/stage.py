"""Servers of a measurement, and the two APIs as a fast client sees them."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.servers.fault_proxy import FaultProxy
from tests.servers.grafana import Grafana, Settings
from tests.servers.grafana_choice import GrafanaPool, main_choice
from tests.servers.kubernetes import KubernetesServer
from tests.servers.kubernetes_binaries import find_or_build
from tests.servers.operator_process import OperatorProcess
from tests.servers.polling import eventually_async

NAMESPACE = "bench"
_CRDS = Path(__file__).parents[2] / "crds"


@dataclass(frozen=True)
class Stage:
    """What is measured: an operator between a kube-apiserver and a Grafana of their own."""

    kubernetes: KubernetesServer
    grafana: Grafana
    proxy: FaultProxy
    operator: OperatorProcess
    kube: aiohttp.ClientSession
    raw_grafana: aiohttp.ClientSession

    @property
    def sources(self) -> str:
        return f"/apis/gdso.dev/v1beta1/namespaces/{NAMESPACE}/grafanadatasources"

    def resident_mebibytes(self) -> float:
        """RSS of the operator."""
        for line in Path(f"/proc/{self.operator.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the kernel does not tell the resident set")


@asynccontextmanager
async def set_up(
    directory: Path,
    *,
    through_proxy: bool,
    grafana_settings: Settings | None = None,
    **settings: str | None,
) -> AsyncIterator[Stage]:
    """Start all of it afresh; the proxy shows when a request left the operator, at some cost.

    `grafana_settings` are ini sections; `settings` are the operator's, over those of the stage.
    """
    with ExitStack() as servers:
        kubernetes = servers.enter_context(
            KubernetesServer(find_or_build(print), directory / "kubernetes")
        )
        pool = GrafanaPool(directory / "grafana")
        servers.callback(pool.stop)
        grafana = pool.make(main_choice(), settings=grafana_settings)
        servers.callback(grafana.stop)
        grafana.start()
        proxy = servers.enter_context(FaultProxy(grafana.url))
        kubernetes.kubectl("apply", "-f", str(_CRDS))
        kubernetes.kubectl("wait", "--for=condition=Established", "crd", "--all")
        kubernetes.kubectl("create", "namespace", NAMESPACE)
        operator = servers.enter_context(
            OperatorProcess(
                kubernetes.kubeconfig,
                directory / "operator.log",
                _without_none(
                    {
                        "GDSO_GRAFANA_URL": proxy.url if through_proxy else grafana.url,
                        "GDSO_GRAFANA_TOKEN": grafana.create_token(),
                        "GDSO_LOG_LEVEL": "INFO",
                        **settings,
                    }
                ),
            )
        )
        tls = ssl.create_default_context(cadata=kubernetes.ca_pem.decode())
        async with (
            aiohttp.ClientSession(
                kubernetes.url,
                headers={"Authorization": f"Bearer {kubernetes.admin_token}"},
                connector=aiohttp.TCPConnector(ssl=tls),
            ) as kube,
            aiohttp.ClientSession(
                grafana.url,
                headers={"Authorization": aiohttp.encode_basic_auth(*grafana.admin)},
            ) as raw_grafana,
        ):
            yield Stage(kubernetes, grafana, proxy, operator, kube, raw_grafana)


def _without_none(settings: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in settings.items() if value is not None}


async def send(
    session: aiohttp.ClientSession, method: str, path: str, body: dict[str, Any]
) -> dict[str, Any]:
    """One request that must succeed."""
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    async with session.request(method, path, json=body, headers={"Content-Type": kind}) as answer:
        content: dict[str, Any] = await answer.json()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.get('message', '')}")
        return content


async def remove(stage: Stage, matching: Callable[[str], bool]) -> None:
    """Delete resources by name, and wait until they are gone."""

    async def names() -> list[str]:
        async with stage.kube.get(stage.sources) as answer:
            found = (await answer.json())["items"]
        return [name for raw in found if matching(name := raw["metadata"]["name"])]

    for name in await names():
        await send(stage.kube, "DELETE", f"{stage.sources}/{name}", {})
    await eventually_async(names, lambda left: left == [], 120, "the resources to be gone")
