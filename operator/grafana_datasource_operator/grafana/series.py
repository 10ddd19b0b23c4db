"""The metrics of one instance, which go with it."""

from typing import ClassVar

from ..telemetry.metrics import GRAFANA_REQUEST_SECONDS, GRAFANA_REQUESTS, INSTANCE_UP


class InstanceSeries:
    """All series that have the name of one instance."""

    # Of two instances with one name the later goes on with the series: new settings make a new
    # instance while the old one is still at its last requests.
    _holders: ClassVar[dict[str, "InstanceSeries"]] = {}

    def __init__(self, name: str) -> None:
        self._name = name
        self._holders[name] = self

    def set_up(self, usable: bool) -> None:
        """Show whether Grafana can be asked."""
        if self._holders.get(self._name) is self:
            INSTANCE_UP.labels(self._name).set(1 if usable else 0)

    def forget(self) -> None:
        """Remove them, unless another instance of the name has taken over; once is enough."""
        if self._holders.get(self._name) is not self:
            return
        del self._holders[self._name]
        for metric in (INSTANCE_UP, GRAFANA_REQUESTS, GRAFANA_REQUEST_SECONDS):
            metric.remove_by_labels({"instance": self._name})
