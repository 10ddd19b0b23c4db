"""A GrafanaInstance of a sandbox, its own way to Grafana, and resources on it by the dozen."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from tests.integration.metrics import total
from tests.integration.sandbox import INSTANCE, SECONDS, Json, Sandbox
from tests.kstatus import find_condition
from tests.servers.faults import Predicate, ProxiedRequest, requests_of
from tests.servers.polling import eventually

PLAIN: Json = {
    "type": "prometheus",
    "url": "http://prometheus:9090",
    # Whether Grafana reaches a back end is another story, which would be told in status.
    "healthCheck": {"enabled": False},
    # Requests are counted: none but those that something calls for.
    "resyncInterval": "0s",
}
CHANGED: Json = {**PLAIN, "url": "http://elsewhere:9090"}
JSON = {"Content-Type": "application/json"}

about_data_sources: Predicate = requests_of(path_pattern=r"^/api/datasources(?!/uid/gdso-probe)")
posts: Predicate = requests_of("POST", "/api/datasources")


def numbered(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number:03}" for number in range(count)]


class PopulatedInstance:
    """One instance; its resources refer to it by name."""

    def __init__(self, sandbox: Sandbox, name: str, **spec: Any) -> None:
        """Ready, in an organization that has a default data source already."""
        self.sandbox = sandbox
        self.name = name
        self.target = sandbox.add_grafana()
        self.target.make_by_hand("first")
        self.proxy = self.target.proxy
        sandbox.apply_instance(name, self.target, **spec)
        sandbox.wait_instance_ready(name)

    def apply(self, names: Iterable[str], **spec: object) -> None:
        for name in names:
            self.sandbox.apply(name, {**PLAIN, "instanceRef": {"name": self.name}, **spec})

    def wait_ready(self, names: Iterable[str], within: float = 2 * SECONDS) -> None:
        """Until all of them hold the present generation."""
        self._wait(names, lambda ready: ready["status"] == "True", within, "to be Ready")

    def wait_for_reason(self, names: Iterable[str], reason: str, status: str = "False") -> None:
        def has_reason(ready: Json) -> bool:
            return (ready["reason"], ready["status"]) == (reason, status)

        self._wait(names, has_reason, 2 * SECONDS, f"to tell {reason}")

    def wait_told(self, reason: str, message: str = "") -> Json:
        """Until the GrafanaInstance itself tells it."""
        return self.sandbox.wait_for_reason(self.name, reason, message=message, kind=INSTANCE)

    def wait_for_requests(self, matching: Predicate, count: int = 1, since: int = 0) -> None:
        eventually(
            lambda: len(self.proxy.matching(matching, since)),
            lambda found: found >= count,
            SECONDS,
            f"{count} requests to {self.name}",
        )

    def held(self) -> dict[str, str]:
        """The url of each data source in Grafana, by its display name."""
        return {
            one["name"]: one["url"] for one in self.target.all_in_grafana() if one["uid"] != "first"
        }

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the series of this instance."""
        (operator,) = self.sandbox.operators
        return total(operator, name, instance=f"{self.sandbox.namespace}/{self.name}", **labels)

    def open_requests(self, matching: Predicate = about_data_sources) -> list[ProxiedRequest]:
        """Those that wait for their answer."""
        return [request for request in self.proxy.matching(matching) if request.ended is None]

    def _wait(
        self, names: Iterable[str], until: Callable[[Json], bool], within: float, what: str
    ) -> None:
        wanted = set(names)

        def others() -> list[str]:
            found = {raw["metadata"]["name"]: raw for raw in self.sandbox.get_all()}
            return sorted(name for name in wanted if not _is(found.get(name), until))

        eventually(others, lambda names: names == [], within, f"all {what}")


def most_in_flight(requests: list[ProxiedRequest]) -> int:
    """How many of them were under way at one time."""
    starts = [(request.time, 1) for request in requests]
    ends = [(request.ended, -1) for request in requests if request.ended is not None]
    most = now = 0
    for _, step in sorted([*starts, *ends]):
        now += step
        most = max(most, now)
    return most


def gaps(requests: list[ProxiedRequest]) -> list[float]:
    """Seconds from the end of one answer to the arrival of the next request."""
    return [later.time - (earlier.ended or later.time) for earlier, later in pairwise(requests)]


def _is(raw: Json | None, until: Callable[[Json], bool]) -> bool:
    ready = find_condition(raw, "Ready") if raw else None
    if raw is None or ready is None:
        return False
    return ready["observedGeneration"] == raw["metadata"]["generation"] and until(ready)
