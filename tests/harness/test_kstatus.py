"""Every status that the contract allows is accepted, and none that it forbids."""

import pytest

from tests.kstatus import READY_BY_REASON, Json, broken_rules


def status(*conditions: tuple[str, str, str], generation: int = 2, **fields: object) -> Json:
    """A resource with conditions of type, status and reason."""
    listed = [
        {
            "type": kind,
            "status": truth,
            "reason": reason,
            "message": "why",
            "observedGeneration": generation,
        }
        for kind, truth, reason in conditions
    ]
    return {
        "metadata": {"generation": 2},
        "status": {"observedGeneration": generation, "conditions": listed, **fields},
    }


def beside(reason: str) -> list[tuple[str, str, str]]:
    kind = READY_BY_REASON[reason][1]
    return [(kind, "True", reason)] if kind else []


LEGAL = [
    (reason, truth) for reason, (truths, _) in READY_BY_REASON.items() for truth in sorted(truths)
]


@pytest.mark.parametrize(("reason", "truth"), LEGAL)
def test_what_the_contract_allows_is_accepted(reason: str, truth: str) -> None:
    assert broken_rules(status(("Ready", truth, reason), *beside(reason))) == []
    health = ("Healthy", "False", "Error")
    assert broken_rules(status(("Ready", truth, reason), *beside(reason), health)) == []


FORBIDDEN = {
    "no Ready": status(("Healthy", "True", "Ok")),
    "Ready twice": status(("Ready", "True", "Synced"), ("Ready", "True", "Synced")),
    "a reason of nobody": status(("Ready", "False", "Broken")),
    "Synced and not Ready": status(("Ready", "False", "Synced")),
    "dry run that is Ready": status(("Ready", "True", "DryRun")),
    "dry run that is stalled": status(
        ("Ready", "Unknown", "DryRun"), ("Stalled", "True", "DryRun")
    ),
    "suspended and reconciling": status(
        ("Ready", "Unknown", "Suspended"), ("Reconciling", "True", "Suspended")
    ),
    "a blocked deletion that is stalled": status(
        ("Ready", "False", "DeletionBlocked"), ("Stalled", "True", "DeletionBlocked")
    ),
    "an outage without Reconciling": status(("Ready", "Unknown", "GrafanaUnreachable")),
    "both beside Ready": status(
        ("Ready", "False", "InvalidSpec"),
        ("Stalled", "True", "InvalidSpec"),
        ("Reconciling", "True", "InvalidSpec"),
    ),
    "Stalled that is false": status(("Ready", "True", "Synced"), ("Stalled", "False", "Synced")),
    "a generation to come": status(("Ready", "True", "Synced"), generation=3),
    "one instance twice": status(
        ("Ready", "True", "Synced"), instances=[{"namespace": "a", "name": "b"}] * 2
    ),
}


@pytest.mark.parametrize("raw", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_the_contract_forbids_is_refused(raw: Json) -> None:
    assert broken_rules(raw) != []
