"""Ask Grafana's own health check now and then, for the condition Healthy."""

import random
import time
from collections.abc import Awaitable, Callable

from pydantic import SecretStr, ValidationError

from ..api.datasource import DataSource, parse_data_source
from ..api.durations import parse_duration
from ..api.model import Json
from ..api.names import DATA_SOURCE, InstanceKey, ObjectKey
from ..api.reasons import ConditionStatus, ConditionType
from ..errors import ReconcileError
from ..grafana.errors import GrafanaError
from ..grafana.health import Health
from ..payload.datasource import DesiredDataSource
from ..payload.inputs import needs_of
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
_WITHHELD = "Grafana's text is not shown while the Secrets that spec refers to cannot be read"

Desire = Callable[[DataSource], Awaitable[DesiredDataSource]]
"""The state that a resource asks for, with what Secrets hold now."""


class HealthChecks:
    """Checks data sources that Grafana holds."""

    def __init__(
        self,
        fleet: Fleet,
        desire: Desire,
        *,
        now: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            fleet: the instances to ask.
            desire: tells what Grafana's messages must not show.
            now: RFC 3339 time for status.
            clock: monotonic seconds.
        """
        self._fleet = fleet
        self._desire = desire
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
        known = find_condition(resource.status.conditions, ConditionType.HEALTHY)
        if not _is_enabled(resource):
            return None if known is None else 0.0
        if not any(isinstance(o, Synced) for o in outcomes):
            return None
        if known is None:
            return None if key in self._planned else self._plan(key, 0.0)
        if key not in self._planned:
            self._show_metric(key, {known.status})
        elif not looked.is_new_generation:
            return None
        interval = _interval(resource)
        if not interval:
            return None
        # After a start, what is known serves for a while: no rush of checks.
        return self._plan(key, random.random() * interval)  # noqa: S311

    def _plan(self, key: ObjectKey, after: float) -> float:
        self._planned.add(key)
        return after

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
        if findings:
            self._show_metric(key, {finding.status for finding in findings.values()})
        after = _interval(resource) * random.uniform(0.9, 1.0) or None  # noqa: S311 - spreads load
        if after is None:
            self._planned.discard(key)
        return self._found(raw, findings, enabled=True, after=after)

    async def _ask(self, resource: DataSource) -> dict[InstanceKey, Finding]:
        uid = resource.status.uid
        hidden = await self._hidden(resource)
        findings = {}
        for recorded in resource.status.instances:
            member = self._fleet.get(recorded.key)
            if uid is None or recorded.id is None or member is None or member.connection is None:
                continue
            try:
                said = await member.connection.check_health(
                    uid, recorded.id, type_=resource.spec.type, hidden=hidden or ()
                )
            except GrafanaError:
                continue  # the instance tells of it
            findings[recorded.key] = _finding(said, is_shown=hidden is not None)
        return findings

    async def _hidden(self, resource: DataSource) -> list[SecretStr] | None:
        """What came from Secrets, which Grafana may repeat; None where that is not known now."""
        if not needs_of(resource.spec).secrets:
            return []
        try:
            desired = await self._desire(resource)
        except ReconcileError:
            return None
        return [*desired.hidden, *desired.secrets.values.values()]

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

    def _show_metric(self, key: ObjectKey, statuses: set[ConditionStatus]) -> None:
        """The worst of what is known; nothing where nothing is."""
        known = [_METRIC[status] for status in statuses & _METRIC.keys()]
        if known:
            DATA_SOURCE_HEALTHY.labels(key.namespace, key.name).set(min(known))
        else:
            self._drop_metric(key)

    def _drop_metric(self, key: ObjectKey) -> None:
        try:
            DATA_SOURCE_HEALTHY.remove(key.namespace, key.name)
        except KeyError:
            return  # there was none


def _finding(said: Health, *, is_shown: bool) -> Finding:
    return Finding(said.status, said.word, said.message if is_shown else _WITHHELD)


def _key_of(resource: DataSource) -> ObjectKey:
    return ObjectKey(DATA_SOURCE.kind, resource.metadata.namespace, resource.metadata.name)


def _is_enabled(resource: DataSource) -> bool:
    check = resource.spec.health_check
    return check is None or check.enabled is not False


def _interval(resource: DataSource) -> float:
    check = resource.spec.health_check
    text = check.interval if check else None
    return INTERVAL_SECONDS if text is None else parse_duration(text)
