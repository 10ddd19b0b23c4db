"""Conditions by the rules of kstatus and of the Kubernetes API conventions."""

from ..api.conditions import MAX_MESSAGE, Condition
from ..api.reasons import (
    STALLED_REASONS,
    ConditionStatus,
    ConditionType,
    HealthReason,
    Reason,
)


def find_condition(conditions: list[Condition], kind: ConditionType) -> Condition | None:
    """The condition of one type, if it is there."""
    return next((c for c in conditions if c.type is kind), None)


def shorten(message: str) -> str:
    """`message` within the length that status and events carry."""
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…"


def set_condition(
    previous: list[Condition],
    kind: ConditionType,
    status: ConditionStatus,
    reason: Reason | HealthReason,
    message: str,
    *,
    generation: int,
    now: str,
) -> Condition:
    """The condition anew; its transition time moves only when its status flips."""
    old = find_condition(previous, kind)
    unchanged = old is not None and old.status is status
    return Condition(
        type=kind,
        status=status,
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old and unchanged else now,
        reason=reason,
        message=shorten(message),
    )


def build_conditions(
    previous: list[Condition],
    ready: ConditionStatus,
    reason: Reason,
    message: str,
    *,
    generation: int,
    now: str,
) -> list[Condition]:
    """Ready, and beside it Stalled or Reconciling while it is not True; Healthy is kept.

    Under DryRun nobody is at work and nobody is needed: nothing stands beside Ready.
    """

    def anew(kind: ConditionType, status: ConditionStatus) -> Condition:
        return set_condition(
            previous, kind, status, reason, message, generation=generation, now=now
        )

    conditions = [anew(ConditionType.READY, ready)]
    if ready is not ConditionStatus.TRUE and reason is not Reason.DRY_RUN:
        beside = ConditionType.STALLED if reason in STALLED_REASONS else ConditionType.RECONCILING
        conditions.append(anew(beside, ConditionStatus.TRUE))
    healthy = find_condition(previous, ConditionType.HEALTHY)
    return [*conditions, healthy] if healthy else conditions


def suspend_conditions(
    previous: list[Condition], *, ever_synced: bool, now: str
) -> list[Condition]:
    """Ready as it was, for the generation it was of, with the reason Suspended."""
    old = find_condition(previous, ConditionType.READY)
    ready = set_condition(
        previous,
        ConditionType.READY,
        old.status if old and ever_synced else ConditionStatus.UNKNOWN,
        Reason.SUSPENDED,
        "spec.suspend is true: nothing is written to Grafana",
        generation=old.observed_generation if old else -1,
        now=now,
    )
    healthy = find_condition(previous, ConditionType.HEALTHY)
    return [ready, healthy] if healthy else [ready]
