"""The condition Healthy: what Grafana's own health check of a data source says. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..api.datasource import DataSource, DataSourceStatus, SyncStatus
from ..api.model import Json
from ..api.names import InstanceKey
from ..api.reasons import ConditionStatus, ConditionType, HealthReason
from .conditions import set_condition

_WORST_FIRST = (ConditionStatus.FALSE, ConditionStatus.UNKNOWN, ConditionStatus.TRUE)
_REASONS = {
    ConditionStatus.TRUE: HealthReason.HEALTHY,
    ConditionStatus.FALSE: HealthReason.UNHEALTHY,
    ConditionStatus.UNKNOWN: HealthReason.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one instance says about the data source; `word` as Grafana said it, or ""."""

    status: ConditionStatus
    word: str
    message: str


def apply_health(
    resource: DataSource, findings: Mapping[InstanceKey, Finding], *, enabled: bool, now: str
) -> DataSourceStatus:
    """The status with what the instances said; without the condition where nobody asks.

    Args:
        resource: with its present status.
        findings: of the instances that answered; the others keep what they said before.
        enabled: False takes the condition away.
        now: RFC 3339 time for a condition whose status flips.
    """
    status = resource.status
    others = [c for c in status.conditions if c.type is not ConditionType.HEALTHY]
    if not enabled:
        instances = [i.model_copy(update={"health": None}) for i in status.instances]
        return status.model_copy(update={"conditions": others, "instances": instances})
    if not findings:
        return status
    worst = min(findings, key=lambda key: _WORST_FIRST.index(findings[key].status))
    finding = findings[worst]
    healthy = set_condition(
        status.conditions,
        ConditionType.HEALTHY,
        finding.status,
        _REASONS[finding.status],
        f"{worst}: {finding.message}" if len(findings) > 1 else finding.message,
        generation=max(status.observed_generation, 0),
        now=now,
    )
    instances = [_with_word(i, findings.get(i.key)) for i in status.instances]
    return status.model_copy(update={"conditions": [*others, healthy], "instances": instances})


def keep_health(status: Json, present: Json) -> Json:
    """The raw `status` of a look, with the health that `present` has from a check meanwhile."""
    if "instances" not in status:
        return status
    said = {(i["namespace"], i["name"]): i.get("health") for i in present.get("instances", [])}
    healthy = [c for c in present.get("conditions", []) if c["type"] == ConditionType.HEALTHY]
    others = [c for c in status["conditions"] if c["type"] != ConditionType.HEALTHY]
    return {
        **status,
        "conditions": [*others, *healthy],
        "instances": [_with_health(i, said) for i in status["instances"]],
    }


def _with_health(instance: Json, said: Mapping[tuple[str, str], str | None]) -> Json:
    word = said.get((instance["namespace"], instance["name"]))
    rest = {key: value for key, value in instance.items() if key != "health"}
    return rest if word is None else {**rest, "health": word}


def _with_word(instance: SyncStatus, finding: Finding | None) -> SyncStatus:
    if finding is None:
        return instance
    return instance.model_copy(update={"health": finding.word or None})
