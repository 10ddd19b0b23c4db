"""What is done about a data source of ours, by what differs and what is known."""

from typing import Any

import pytest

from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import STALLED_RECHECK_SECONDS, Stalled
from grafana_datasource_operator.payload.diff import StoreTraits
from grafana_datasource_operator.payload.secrets import ResolvedSecrets
from grafana_datasource_operator.reconcile.drift import (
    Situation,
    UnseenWrite,
    decide,
    is_undone,
)
from grafana_datasource_operator.reconcile.looked import Looked
from grafana_datasource_operator.status.outcome import Action
from tests.unit.builders import SPEC, desired_of, raw_resource, resource, state

Json = dict[str, Any]

CORRECT, REPORT = "Correct", "Report"
SYNCED: Json = {"synced": "True", "reason": "Synced"}
NO_RECORD: Json = {"none": True}


def _situation(
    policy: str = CORRECT,
    *,
    own_change: bool = False,
    recorded: Json = SYNCED,
    held: Json | None = None,
    revision: str | None = "r1",
    adopted: bool = False,
) -> Situation:
    """Recorded at version 3 with the revision r1; spec may have changed since."""
    one = {
        "namespace": "-",
        "name": "default",
        "id": 7,
        "version": 3,
        "secretsRevision": "r1",
        **recorded,
    }
    raw = raw_resource(
        generation=2,
        spec={**SPEC, "driftPolicy": policy},
        status={
            "observedGeneration": 1 if own_change else 2,
            "instances": [] if "none" in recorded else [one],
        },
    )
    looked = Looked(resource(**_arguments(raw)), raw)
    instances = looked.resource.status.instances
    return Situation(
        looked,
        instances[0] if instances else None,
        desired_of(ResolvedSecrets(revision=revision)),
        state(**(held or {})),
        StoreTraits(),
        adopted,
    )


def _arguments(raw: Json) -> Json:
    return {"generation": 2, "spec": raw["spec"], "status": raw["status"]}


EDITED: Json = {"url": "http://by-hand", "version": 4}
EDITED_UNSEEN: Json = {"url": "http://by-hand"}
TOUCHED: Json = {"version": 4}


@pytest.mark.parametrize("policy", [CORRECT, REPORT])
@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        # Nothing differs.
        ({}, None),
        ({"own_change": True}, None),
        ({"recorded": NO_RECORD, "revision": None}, None),
        # What somebody wants.
        ({"own_change": True, "held": EDITED_UNSEEN}, Action.UPDATED),
        ({"own_change": True, "held": EDITED}, Action.UPDATED),
        ({"own_change": True, "held": TOUCHED}, Action.UPDATED),
        ({"own_change": True, "revision": "r2"}, Action.UPDATED),
        # What a Secret, a ConfigMap or a reference wants.
        ({"revision": "r2"}, Action.SECRET_CHANGED),
        ({"revision": "r2", "held": EDITED}, Action.SECRET_CHANGED),
        ({"revision": None}, Action.SECRET_CHANGED),
        # What did not get through so far.
        ({"recorded": NO_RECORD, "revision": None, "held": EDITED_UNSEEN}, Action.UPDATED),
        (
            {
                "recorded": {"synced": "False", "reason": "GrafanaError"},
                "held": EDITED_UNSEEN,
            },
            Action.UPDATED,
        ),
        (
            {"recorded": {"synced": "Unknown", "reason": "DryRun"}, "held": EDITED_UNSEEN},
            Action.UPDATED,
        ),
        # Taking over.
        ({"adopted": True}, Action.ADOPTED),
        ({"adopted": True, "recorded": NO_RECORD, "held": EDITED}, Action.ADOPTED),
    ],
)
def test_what_we_want_is_written_whatever_the_policy(
    policy: str, arguments: Json, action: Action | None
) -> None:
    assert decide(_situation(policy, **arguments)) is action


@pytest.mark.parametrize(
    "recorded",
    [
        SYNCED,
        {"synced": "Unknown", "reason": "GrafanaUnreachable"},
        {"synced": "False", "reason": "DefaultConflict"},
        {"synced": "False", "reason": "DriftDetected"},
    ],
)
@pytest.mark.parametrize("held", [EDITED, EDITED_UNSEEN, {"jsonData": None, "version": 9}])
def test_what_others_changed_is_corrected_or_told(recorded: Json, held: Json) -> None:
    corrected = decide(_situation(CORRECT, recorded=recorded, held=held))
    assert corrected is Action.DRIFT_CORRECTED
    with pytest.raises(Stalled) as told:
        decide(_situation(REPORT, recorded=recorded, held=held))
    assert told.value.reason is Reason.DRIFT_DETECTED
    assert ("/url" if "url" in held else "/jsonData") in told.value.message
    assert "spec.driftPolicy: Correct" in told.value.message
    assert "by-hand" not in told.value.message


def test_a_write_that_only_the_version_tells_is_answered_or_told() -> None:
    assert decide(_situation(CORRECT, held=TOUCHED)) is Action.DRIFT_CORRECTED
    assert isinstance(decide(_situation(REPORT, held=TOUCHED)), UnseenWrite)


@pytest.mark.parametrize("policy", [CORRECT, REPORT])
def test_a_version_that_nobody_recorded_tells_nothing(policy: str) -> None:
    assert decide(_situation(policy, recorded={**SYNCED, "version": None}, held=TOUCHED)) is None


REJECTED: Json = {"synced": "False", "reason": "GrafanaRejected"}


@pytest.mark.parametrize("policy", [CORRECT, REPORT])
def test_a_write_that_grafana_answered_with_other_values_is_not_repeated(policy: str) -> None:
    with pytest.raises(Stalled) as told:
        decide(_situation(policy, recorded=REJECTED, held=EDITED_UNSEEN))
    assert told.value.reason is Reason.GRAFANA_REJECTED
    assert "holds other values at /url" in told.value.message
    assert told.value.retry_after == STALLED_RECHECK_SECONDS


@pytest.mark.parametrize("policy", [CORRECT, REPORT])
@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        ({"held": EDITED}, Action.UPDATED),
        ({"own_change": True, "held": EDITED_UNSEEN}, Action.UPDATED),
        ({"revision": "r2", "held": EDITED_UNSEEN}, Action.SECRET_CHANGED),
        ({}, None),
    ],
)
def test_it_is_tried_again_once_anything_has_changed(
    policy: str, arguments: Json, action: Action | None
) -> None:
    assert decide(_situation(policy, recorded=REJECTED, **arguments)) is action


@pytest.mark.parametrize(
    ("recorded", "undone"),
    [
        (NO_RECORD, True),
        ({**SYNCED, "id": None}, True),
        (SYNCED, False),
        ({"synced": "False", "reason": "GrafanaUnreachable"}, True),
        ({"synced": "False", "reason": "NameConflict"}, True),
        ({"synced": "False", "reason": "WaitingForSecret"}, True),
        ({"synced": "False", "reason": "DriftDetected"}, False),
        ({"synced": "False", "reason": "DefaultConflict"}, False),
        ({"synced": "Unknown", "reason": "Pending"}, True),
        ({"synced": "Unknown", "reason": "DryRun"}, True),
        ({"synced": "Unknown", "reason": "GrafanaUnreachable"}, False),
    ],
)
def test_whether_a_change_of_ours_got_through(recorded: Json, undone: bool) -> None:
    assert is_undone(_situation(recorded=recorded).recorded) is undone
