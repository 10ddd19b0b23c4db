"""One look at a GrafanaInstance: open its connection, and tell whether it can be used."""

from collections.abc import Callable
from dataclasses import replace

from pydantic import ValidationError

from ..api.datasource import DeletionPolicy
from ..api.instance import Instance, InstanceSpec, parse_instance
from ..api.model import Json
from ..api.names import FINALIZER, FORCE_DELETE, InstanceKey, ObjectKey
from ..api.reasons import Reason
from ..errors import STALLED_RECHECK_SECONDS, ReconcileError, Stalled
from ..grafana.connection import InvalidTlsError
from ..grafana.instance import GrafanaInstance
from ..kube.contents import ContentReader
from ..kube.resources import Resources
from ..status.events import Event, instance_events_of
from ..status.instance import (
    Answered,
    InstanceOutcome,
    Paused,
    Unusable,
    build_instance_status,
)
from .admission import admission_of
from .connections import Connections
from .failures import explain, unreadable
from .fleet import Fleet, Member
from .instance_contents import Contents
from .verdict import Again, Verdict

_ORPHAN = ("deletionPolicy", DeletionPolicy.ORPHAN.value)

UsersOf = Callable[[InstanceKey], list[ObjectKey]]
"""Resources that live, or are to live, on an instance."""


class InstanceController:
    """Looks at GrafanaInstances."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        connections: Connections,
        contents: ContentReader,
        resources: Resources,
        users_of: UsersOf,
        counts: Callable[[str], bool],
        now: Callable[[], str],
    ) -> None:
        """Prepare.

        Args:
            fleet: where the instances are told to those who use them.
            connections: opens them.
            contents: reads Secrets and ConfigMaps.
            resources: writes finalizers.
            users_of: who is in the way of a deletion.
            counts: whether GrafanaInstances of a namespace count.
            now: RFC 3339 time for status.
        """
        self._fleet = fleet
        self._connections = connections
        self._contents = contents
        self._resources = resources
        self._users_of = users_of
        self._counts = counts
        self._now = now

    async def look(self, raw: Json) -> Verdict:
        """Look once; raises only `KubeError`."""
        meta = raw["metadata"]
        key = InstanceKey(meta["namespace"], meta["name"])
        try:
            instance = parse_instance(raw)
        except ValidationError as error:
            return await self._refuse(key, raw, error)
        if instance.metadata.deletion_timestamp:
            return await self._delete(instance, raw)
        outcome = await self._use(instance, raw)
        return self._verdict(instance, outcome)

    def describe_delay(self, raw: Json) -> Verdict | None:
        """Nothing: what takes long here is told by the connection."""
        del raw
        return None

    async def _use(self, instance: Instance, raw: Json) -> InstanceOutcome | None:
        """Connect; None where it is not known yet whether Grafana answers."""
        if not self._counts(instance.metadata.namespace):
            self._fleet.remove(instance.key)
            return Unusable(
                Reason.INSTANCE_NOT_ALLOWED,
                f'GrafanaInstances of namespace "{instance.metadata.namespace}" do not count; ask'
                " who runs the operator to add it to GDSO_INSTANCE_NAMESPACES",
            )
        if instance.spec.suspend:
            self._pause(instance)
            return Paused()
        try:
            connection = await self._connect(instance)
        except ReconcileError as error:
            # For cleaning up, the credentials that were read before still serve.
            present = self._connections.present(instance.key)
            problem = f"cannot be used ({error.reason})"
            self._fleet.put(_member(instance, problem, present))
            return Unusable(error.reason, error.message)
        if FINALIZER not in instance.metadata.finalizers:
            await self._resources.add_finalizer(raw)
        self._fleet.put(_member(instance, "", connection))
        return _outcome_of(connection)

    def _pause(self, instance: Instance) -> None:
        self._connections.close(instance.key)
        self._fleet.put(_member(instance, "is suspended", None))

    async def _connect(self, instance: Instance) -> GrafanaInstance:
        contents = await Contents.read(self._contents, instance)
        settings = contents.settings(instance.spec)
        try:
            return self._connections.open(
                instance.key,
                (instance.metadata.uid, contents.versions, _connecting_part(instance.spec)),
                settings,
                contents.credentials(instance.spec.auth),
            )
        except InvalidTlsError as error:
            raise Stalled(Reason.INVALID_SPEC, f"spec.tls: {error}") from None

    async def _delete(self, instance: Instance, raw: Json) -> Verdict:
        users = self._users_of(instance.key)
        stays = (
            users
            and instance.spec.deletion_policy is DeletionPolicy.DELETE
            and instance.metadata.annotations.get(FORCE_DELETE) != "true"
        )
        is_held = FINALIZER in instance.metadata.finalizers
        if not (is_held and stays):
            self._close_to_new_users(instance)
            if is_held:
                await self._resources.remove_finalizer(raw)
            return Verdict("Released", Again())
        await self._keep_for_users(instance)
        names = ", ".join(f"{key.namespace}/{key.name}" for key in users[:3])
        more = f" and {len(users) - 3} more" if len(users) > 3 else ""
        outcome = Unusable(
            Reason.DELETION_BLOCKED,
            f"still used by GrafanaDataSource {names}{more}: delete them, or point them to another"
            " instance; to let go of them as they are, set spec.deletionPolicy: Orphan",
        )
        verdict = self._verdict(instance, outcome)
        # Who turns out never to have been admitted gives up nothing that would tell us.
        return replace(verdict, again=Again(after=STALLED_RECHECK_SECONDS))

    def _close_to_new_users(self, instance: Instance) -> None:
        """It may stay for as long as others hold it back."""
        connection = self._connections.present(instance.key)
        problem = "" if connection else "is being deleted"
        self._fleet.put(_member(instance, problem, connection))

    async def _keep_for_users(self, instance: Instance) -> None:
        """Its users can be cleaned up as long as its Grafana can, and may, be asked."""
        if instance.spec.suspend:
            self._pause(instance)
            return
        connection = self._connections.present(instance.key)
        problem = ""
        try:
            connection = await self._connect(instance)
        except ReconcileError as error:
            problem = f"cannot be used ({error.reason})"
        self._fleet.put(_member(instance, problem, connection))

    async def _refuse(self, key: InstanceKey, raw: Json, error: ValidationError) -> Verdict:
        """The installed CRD let through what these models do not know."""
        instance = _without_spec(raw)
        present = self._connections.present(key)
        self._fleet.put(_member(instance, "cannot be used (InvalidSpec)", present))
        if instance.metadata.deletion_timestamp:
            return await self._delete(instance, raw)
        failure = unreadable(error)
        return self._verdict(instance, Unusable(failure.reason, failure.message))

    def _verdict(self, instance: Instance, outcome: InstanceOutcome | None) -> Verdict:
        if outcome is None:
            return Verdict("Connecting", Again())
        status = build_instance_status(instance, outcome, self._now())
        result, message = _summary(outcome)
        events: list[Event] = instance_events_of(instance.status, status)
        return Verdict(
            result=result,
            again=Again(),
            status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
            events=events,
            message=message,
        )


def _without_spec(raw: Json) -> Instance:
    """As much of an instance with an unreadable spec as its status and its deletion need."""
    kept = {k: v for k, v in raw.get("spec", {}).items() if (k, v) == _ORPHAN}
    return parse_instance({**raw, "spec": {"url": "http://unreadable", "auth": {}, **kept}})


def _member(instance: Instance, problem: str, connection: GrafanaInstance | None) -> Member:
    home = instance.metadata.namespace
    return Member(
        key=instance.key,
        labels=instance.metadata.labels,
        users=admission_of(instance.spec.allowed_namespaces, home),
        adopters=admission_of(instance.spec.allowed_adopters, home),
        mode=instance.spec.mode,
        is_leaving=instance.metadata.deletion_timestamp is not None,
        is_suspended=bool(instance.spec.suspend),
        problem=problem,
        connection=connection,
    )


def _outcome_of(connection: GrafanaInstance) -> InstanceOutcome | None:
    if (trouble := connection.trouble) is not None:
        failure = explain(trouble)
        return Unusable(failure.reason, failure.message)
    facts = connection.facts
    if facts is None:
        return None
    return Answered(facts.version, facts.org_id, tuple(sorted(facts.capabilities)))


def _connecting_part(spec: InstanceSpec) -> str:
    """What a connection is made of; other fields change without a new one."""
    parts = {"url", "org_id", "auth", "tls", "headers", "timeout", "max_concurrent_requests"}
    return spec.model_dump_json(include=parts)


def _summary(outcome: InstanceOutcome) -> tuple[str, str]:
    match outcome:
        case Unusable(reason=reason, message=message):
            return reason.value, message
        case Answered():
            return "Answered", ""
        case Paused():
            return "Suspended", ""
