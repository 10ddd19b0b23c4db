"""The rules of kstatus and the Kubernetes API conventions that every status must keep."""

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

_ANY, _UNSURE = frozenset({"True", "False", "Unknown"}), frozenset({"False", "Unknown"})
_FALSE, _UNKNOWN = frozenset({"False"}), frozenset({"Unknown"})


def _alike(reasons: str, ready: frozenset[str], beside: str) -> dict[str, tuple[Any, str]]:
    return dict.fromkeys(reasons.split(), (ready, beside))


READY_BY_REASON: Mapping[str, tuple[frozenset[str], str]] = {
    **_alike("Pending DryRun", _UNKNOWN, ""),
    **_alike("Synced", frozenset({"True"}), ""),
    **_alike("Suspended", _ANY, ""),
    **_alike(
        "WaitingForSecret WaitingForConfigMap WaitingForInstance WaitingForDataSource",
        _FALSE,
        "Reconciling",
    ),
    **_alike("GrafanaUnreachable GrafanaUnauthorized GrafanaError", _UNSURE, "Reconciling"),
    **_alike("Deleting DeletionBlocked", _FALSE, "Reconciling"),
    **_alike(
        "DriftDetected InvalidSpec GrafanaRejected NameConflict UidConflict OwnershipConflict"
        " DefaultConflict ReadOnlyInGrafana QuotaReached InstanceNotAllowed UnsupportedByGrafana",
        _FALSE,
        "Stalled",
    ),
}
"""Reason of Ready: the statuses that Ready may have then, and which condition stands beside it."""

_MAX_INSTANCES = 64


def find_condition(raw: Json, kind: str) -> Json | None:
    conditions = raw.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), None)


def broken_rules(raw: Json) -> list[str]:
    """What is wrong with the status of one resource; empty is right."""
    status, generation = raw.get("status", {}), raw["metadata"]["generation"]
    conditions = status.get("conditions", [])
    types = [c["type"] for c in conditions]
    ready = find_condition(raw, "Ready")
    truths = {kind for kind in types if (find_condition(raw, kind) or {})["status"] == "True"}
    rules = {
        "Ready is always there": ready is not None,
        "each type once": len(types) == len(set(types)),
        "Stalled and Reconciling only while true": {"Stalled", "Reconciling"} & set(types)
        <= truths,
        "never both Stalled and Reconciling": not {"Stalled", "Reconciling"} <= truths,
        "Ready is not True beside Stalled or Reconciling": "Ready" not in truths
        or not {"Stalled", "Reconciling"} & truths,
        "Ready and what stands beside it are as its reason says": ready is None
        or _is_as_reason_says(ready, {"Stalled", "Reconciling"} & truths),
        "observedGeneration is not ahead": all(
            observed <= generation
            for observed in [
                status.get("observedGeneration", -1),
                *(c["observedGeneration"] for c in conditions),
            ]
        ),
        "Ready=True speaks of what status observed": ready is None
        or ready["status"] != "True"
        or ready["observedGeneration"] == status["observedGeneration"],
        "reasons are CamelCase words": all(
            c["reason"].isalpha() and c["reason"][0].isupper() for c in conditions
        ),
        "messages are there and short": all(0 < len(c["message"]) <= 1024 for c in conditions),
        "each instance once, and not too many": _are_few_and_distinct(status.get("instances", [])),
    }
    return [rule for rule, kept in rules.items() if not kept]


def _is_as_reason_says(ready: Json, beside: set[str]) -> bool:
    if ready["reason"] not in READY_BY_REASON:
        return False
    statuses, expected = READY_BY_REASON[ready["reason"]]
    return ready["status"] in statuses and beside == ({expected} if expected else set())


def _are_few_and_distinct(instances: Iterable[Json]) -> bool:
    keys = [(one.get("namespace"), one.get("name")) for one in instances]
    return len(keys) == len(set(keys)) <= _MAX_INSTANCES
