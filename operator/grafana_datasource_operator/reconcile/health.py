"""Ask Grafana's own health check now and then, for the condition Healthy."""

import random
import time
from collections.abc import Callable

from pydantic import ValidationError

from ..api.datasource import DataSource, parse_data_source
from ..api.durations import parse_duration
from ..api.model import Json
from ..api.names import DATA_SOURCE, InstanceKey, ObjectKey
from ..api.reasons import ConditionStatus, ConditionType
from ..grafana.errors import GrafanaError
from ..grafana.health import Health
from ..status.conditions import find_condition
from ..status.health import Finding, apply_health
from ..status.outcome import NotSynced, Report, Synced
from ..telemetry.metrics import DATA_SOURCE_HEALTHY
from .fleet import Fleet
from .looked import Looked
from .verdict import CheckUp

INTERVAL_SECONDS = 600.0
AFTER_WRITE_SECONDS = 6.0
"""Grafana uses what it held before a write for up to 5 s (measured)."""
_METRIC = {ConditionStatus.TRUE: 1.0, ConditionStatus.FALSE: 0.0}


class HealthChecks:
    """Checks data sources that Grafana holds."""

    def __init__(
        self, fleet: Fleet, *, now: Callable[[], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare.

        Args:
            fleet: the instances to ask.
            now: RFC 3339 time for status.
            clock: monotonic seconds.
        """
        self._fleet = fleet
        self._now = now
        self._clock = clock
        self._written: dict[ObjectKey, float] = {}
        self._planned: set[ObjectKey] = set()

    def forget(self, key: ObjectKey) -> None:
        """The resource no longer exists."""
        self._written.pop(key, None)
        self._planned.discard(key)
        self._drop_metric(key)

    def plan(self, looked: Looked, report: Report) -> float | None:
        """Seconds until the next check after this look; None leaves what is planned."""
        key, resource = looked.key, looked.resource
        if resource.metadata.deletion_timestamp:
            return None
        outcomes = report.outcomes.values()
        if any(isinstance(o, Synced | NotSynced) and o.action is not None for o in outcomes):
            self._written[key] = self._clock()
            self._planned.add(key)
            return AFTER_WRITE_SECONDS
        is_known = find_condition(resource.status.conditions, ConditionType.HEALTHY) is not None
        if is_known and not _is_enabled(resource):
            return 0.0
        if key in self._planned or not any(isinstance(o, Synced) for o in outcomes):
            return None
        if is_known and not _interval(resource):
            return None  # asked after a write alone
        self._planned.add(key)
        # After a start, what is known serves for a while: no rush of checks.
        return random.random() * _interval(resource) if is_known else 0.0  # noqa: S311

    async def check(self, raw: Json) -> CheckUp:
        """Ask each instance that holds the data source."""
        try:
            resource = parse_data_source(raw)
        except ValidationError:
            return CheckUp(lambda status: status, None)
        key = _key_of(resource)
        if not _is_enabled(resource):
            self._planned.discard(key)
            self._drop_metric(key)
            return self._found(raw, {}, enabled=False, after=None)
        rest = self._written.get(key, -AFTER_WRITE_SECONDS) + AFTER_WRITE_SECONDS - self._clock()
        if rest > 0:
            return CheckUp(lambda status: status, rest)
        findings = await self._ask(resource)
        self._show_metric(key, findings)
        after = _interval(resource) * random.uniform(0.9, 1.0) or None  # noqa: S311 - spreads load
        if after is None:
            self._planned.discard(key)
        return self._found(raw, findings, enabled=True, after=after)

    async def _ask(self, resource: DataSource) -> dict[InstanceKey, Finding]:
        uid = resource.status.uid
        findings = {}
        for recorded in resource.status.instances:
            member = self._fleet.get(recorded.key)
            if uid is None or recorded.id is None or member is None or member.connection is None:
                continue
            try:
                said = await member.connection.check_health(
                    uid, recorded.id, type_=resource.spec.type
                )
            except GrafanaError:
                continue  # the instance tells of it
            findings[recorded.key] = Finding(said.status, said.word, _message(resource, said))
        return findings

    def _found(
        self, raw: Json, findings: dict[InstanceKey, Finding], *, enabled: bool, after: float | None
    ) -> CheckUp:
        def update(status: Json) -> Json:
            resource = parse_data_source({**raw, "status": status})
            applied = apply_health(resource, findings, enabled=enabled, now=self._now())
            if applied == resource.status:
                return status
            return applied.model_dump(mode="json", by_alias=True, exclude_none=True)

        return CheckUp(update, after)

    def _show_metric(self, key: ObjectKey, findings: dict[InstanceKey, Finding]) -> None:
        known = [_METRIC[f.status] for f in findings.values() if f.status in _METRIC]
        if known:
            DATA_SOURCE_HEALTHY.labels(key.namespace, key.name).set(min(known))
        elif findings:
            self._drop_metric(key)

    def _drop_metric(self, key: ObjectKey) -> None:
        try:
            DATA_SOURCE_HEALTHY.remove(key.namespace, key.name)
        except KeyError:
            return  # there was none


def _key_of(resource: DataSource) -> ObjectKey:
    return ObjectKey(DATA_SOURCE.kind, resource.metadata.namespace, resource.metadata.name)


def _message(resource: DataSource, said: Health) -> str:
    """What Grafana says, unless it may quote a part of a value that came from a Secret."""
    values = resource.spec.values_from or []
    if not any(one.value_from.secret_key_ref for one in values):
        return said.message
    if not said.word:
        return said.message.partition(' ("')[0]  # where its words would begin
    return (
        f"Grafana's check says {said.word}; ask Grafana for more: its message may quote what"
        " spec.valuesFrom takes from a Secret"
    )


def _is_enabled(resource: DataSource) -> bool:
    check = resource.spec.health_check
    return check is None or check.enabled is not False


def _interval(resource: DataSource) -> float:
    check = resource.spec.health_check
    text = check.interval if check else None
    return INTERVAL_SECONDS if text is None else parse_duration(text)
