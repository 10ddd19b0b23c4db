"""An apiserver for tests of what is built on `KubeApi`: answers as told, remembers what it got."""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from grafana_datasource_operator.kube.api import KubeApi

Json = dict[str, Any]


class Sent(NamedTuple):
    """One request."""

    method: str
    path: str
    body: Json | None
    query: dict[str, str] | None


class PretendedApi(KubeApi):
    """Takes the place of the connection."""

    def __init__(
        self,
        answering: Callable[[Sent], Json],
        watching: Callable[[dict[str, str]], AsyncIterator[Json]] | None = None,
    ) -> None:
        self._answering = answering
        self._watching = watching
        self.sent: list[Sent] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: dict[str, str] | None = None,
        **_: Any,
    ) -> Json:
        self.sent.append(Sent(method, path, body, query))
        return self._answering(self.sent[-1])

    def watch(
        self, path: str, *, query: dict[str, str], accept: str, idle_timeout: float
    ) -> AsyncIterator[Json]:
        assert self._watching is not None
        assert accept.endswith("v=v1")
        assert idle_timeout > 0
        return self._watching(query)
