"""One instance as one look at one resource sees it."""

from dataclasses import dataclass

from ..api.instance import Mode
from ..api.names import InstanceKey
from ..grafana.instance import GrafanaInstance


@dataclass(frozen=True, slots=True)
class Site:
    """Where a data source is to be.

    Attributes:
        key: of the instance.
        grafana: its connection.
        mode: whether it is written.
        may_adopt: whether the resource may take over there what nobody owns.
    """

    key: InstanceKey
    grafana: GrafanaInstance
    mode: Mode
    may_adopt: bool

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is written."""
        return self.mode is Mode.DRY_RUN
