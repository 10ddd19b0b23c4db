"""Which Grafana a resource is meant for."""

from dataclasses import dataclass

from ..api.reasons import Reason
from ..errors import Retrying, Stalled
from ..grafana.instance import GrafanaInstance


@dataclass(frozen=True, slots=True)
class InstanceChoice:
    """The default instance, which the operator's settings define.

    Attributes:
        default: None where the settings define none.
        allowed_namespaces: who may use it; empty: all that are watched.
    """

    default: GrafanaInstance | None
    allowed_namespaces: frozenset[str] = frozenset()

    def choose(self, namespace: str) -> GrafanaInstance:
        """The instance for a resource in `namespace`.

        Raises:
            Retrying: WaitingForInstance.
            Stalled: InstanceNotAllowed.
        """
        if self.allowed_namespaces and namespace not in self.allowed_namespaces:
            raise Stalled(
                Reason.INSTANCE_NOT_ALLOWED,
                f'namespace "{namespace}" may not use the default Grafana instance; ask who runs'
                " the operator to allow it (GDSO_GRAFANA_ALLOWED_NAMESPACES)",
            )
        return self.choose_for_deletion()

    def choose_for_deletion(self) -> GrafanaInstance:
        """The instance to clean, also for a resource that is no longer allowed there.

        Raises:
            Retrying: WaitingForInstance.
        """
        if self.default is None:
            raise Retrying(
                Reason.WAITING_FOR_INSTANCE,
                "there is no default Grafana instance; ask who runs the operator to set"
                " GDSO_GRAFANA_URL",
            )
        return self.default
