"""The rules of kstatus and the Kubernetes API conventions that every status must keep."""

from typing import Any

Json = dict[str, Any]


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
    }
    return [rule for rule, kept in rules.items() if not kept]
