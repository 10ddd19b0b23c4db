"""Which Grafanas a resource is to live on."""

from dataclasses import dataclass

from ..api.datasource import DataSource
from ..api.names import FROM_SETTINGS, InstanceKey
from ..api.reasons import Reason
from ..errors import STALLED_RECHECK_SECONDS, ReconcileError, Retrying, Stalled, invalid_spec
from .admission import ReadLabels
from .fleet import Fleet, Member

MOST_INSTANCES = 64
"""As many as status can hold."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Finds the instances of resources, and whether they may use them.

    Attributes:
        fleet: all there are.
        default: for resources that name none; None where there is none.
        read_labels: of namespaces.
    """

    fleet: Fleet
    default: InstanceKey | None
    read_labels: ReadLabels

    def keys_of(self, resource: DataSource) -> list[InstanceKey]:
        """Where the resource is to live, allowed or not, there or not."""
        if (selector := resource.spec.instance_selector) is not None:
            home = selector.namespace or resource.metadata.namespace
            wanted = selector.match_labels.items()
            return sorted(
                member.key
                for member in self.fleet
                if member.key.namespace == home and wanted <= member.labels.items()
            )
        if (reference := resource.spec.instance_ref) is not None:
            return [InstanceKey(reference.namespace or resource.metadata.namespace, reference.name)]
        return [self.default] if self.default else []

    async def find(self, resource: DataSource) -> list[InstanceKey]:
        """Where the resource may live; each may still turn out to be unusable.

        Raises:
            Retrying: WaitingForInstance.
            Stalled: InstanceNotAllowed, or InvalidSpec for more than 64.
        """
        keys = self.keys_of(resource)
        if resource.spec.instance_selector is not None:
            keys = [key for key in keys if await self._is_shown(key, resource)]
            if len(keys) > MOST_INSTANCES:
                raise invalid_spec(
                    "spec.instanceSelector",
                    f"selects {len(keys)} instances, at most {MOST_INSTANCES} are possible",
                )
        if not keys:
            raise _nothing_found(resource)
        return keys

    async def member(self, key: InstanceKey, resource: DataSource) -> Member:
        """The instance, which admits the resource and can be used.

        Raises:
            Retrying: WaitingForInstance.
            Stalled: InstanceNotAllowed; in another namespace also where it does not exist.
        """
        if not await self.admits(key, resource):
            raise _denied(key, resource)
        member = self.fleet.get(key)
        if member is None:
            raise _missing(key)
        recorded = resource.recorded(key)
        if member.is_leaving and (recorded is None or recorded.id is None):
            raise _waiting(f"{_described(key)} is being deleted")
        if member.problem or member.connection is None:
            raise _waiting(f"{_described(key)} {member.problem}")
        return member

    async def admits(self, key: InstanceKey, resource: DataSource) -> bool:
        """Whether the resource may use the instance, or be told that it is missing.

        That is told of the default instance, and of one in the resource's own namespace.
        """
        namespace, spec = resource.metadata.namespace, resource.spec
        member = self.fleet.get(key)
        if member is None:
            names_none = spec.instance_ref is None and spec.instance_selector is None
            return names_none or key.namespace == namespace
        return await member.users.admits(namespace, self.read_labels)

    async def may_adopt(self, member: Member, namespace: str) -> bool:
        """Whether a resource in `namespace` may take over what nobody owns there."""
        return await member.adopters.admits(namespace, self.read_labels)

    async def _is_shown(self, key: InstanceKey, resource: DataSource) -> bool:
        """Whether a selected instance counts: one that does not admit us is as good as not there.

        Where the resource lives already, it is told that it may no longer.
        """
        return resource.recorded(key) is not None or await self.admits(key, resource)


def _described(key: InstanceKey) -> str:
    if key == FROM_SETTINGS:
        return "the default Grafana instance"
    return f'GrafanaInstance "{key.name}" in namespace "{key.namespace}"'


def _nothing_found(resource: DataSource) -> ReconcileError:
    selector = resource.spec.instance_selector
    if selector is None:
        return _waiting(
            "there is no default Grafana instance; set spec.instanceRef, or ask who runs the"
            " operator to set GDSO_DEFAULT_INSTANCE or GDSO_GRAFANA_URL"
        )
    namespace = resource.metadata.namespace
    home = selector.namespace or namespace
    text = f'spec.instanceSelector: no GrafanaInstance in namespace "{home}" has these labels'
    return _waiting(text if home == namespace else f'{text} and admits namespace "{namespace}"')


def _missing(key: InstanceKey) -> Retrying:
    if key == FROM_SETTINGS:
        return _waiting("there is no default Grafana instance")
    return _waiting(f"{_described(key)} does not exist")


def _denied(key: InstanceKey, resource: DataSource) -> Stalled:
    """The same text whether it exists or not: who is not admitted is not told."""
    namespace = resource.metadata.namespace
    if key == FROM_SETTINGS:
        text = (
            f'namespace "{namespace}" may not use the default Grafana instance; ask who runs the'
            " operator to allow it (GDSO_GRAFANA_ALLOWED_NAMESPACES)"
        )
    else:
        text = (
            f"{_described(key)} does not exist, or does not admit namespace"
            f' "{namespace}"; ask who owns it to set spec.allowedNamespaces'
        )
    return Stalled(Reason.INSTANCE_NOT_ALLOWED, text, retry_after=STALLED_RECHECK_SECONDS)


def _waiting(problem: str) -> Retrying:
    return Retrying(Reason.WAITING_FOR_INSTANCE, f"{problem}")
