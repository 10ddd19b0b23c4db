"""Metric of how many resources are in which state; each counts once."""

from ..api.model import Json
from ..api.names import ObjectKey
from ..telemetry.metrics import RESOURCES

_Labels = tuple[str, str, str]


class Population:
    """Keeps `gdso_resources` equal to the view."""

    def __init__(self) -> None:
        self._labels: dict[ObjectKey, _Labels] = {}
        self._counts: dict[_Labels, int] = {}

    def count(self, key: ObjectKey, raw: Json) -> None:
        """Count the resource under its present Ready condition."""
        conditions = raw.get("status", {}).get("conditions", [])
        ready: Json = next((c for c in conditions if c["type"] == "Ready"), {})
        labels = (key.kind, ready.get("status", "Unknown"), ready.get("reason", "Pending"))
        if self._labels.get(key) != labels:
            self.remove(key)
            self._labels[key] = labels
            self._add(labels, 1)

    def remove(self, key: ObjectKey) -> None:
        """Count the resource no more."""
        if (labels := self._labels.pop(key, None)) is not None:
            self._add(labels, -1)

    def _add(self, labels: _Labels, number: int) -> None:
        self._counts[labels] = self._counts.get(labels, 0) + number
        if self._counts[labels]:
            RESOURCES.labels(*labels).set(self._counts[labels])
        else:
            del self._counts[labels]
            RESOURCES.remove(*labels)
