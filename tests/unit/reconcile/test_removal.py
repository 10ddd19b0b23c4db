"""Cleaning up: only what is ours, and what keeps it from being cleaned up."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from grafana_datasource_operator.api.instance import Mode
from grafana_datasource_operator.api.names import (
    FINALIZER,
    FROM_SETTINGS,
    INSTANCE,
    OWNER_KEY,
    InstanceKey,
)
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import Retrying
from grafana_datasource_operator.grafana.errors import Unreachable
from grafana_datasource_operator.kube.errors import NotFoundError
from grafana_datasource_operator.kube.namespaces import NamespaceReader
from grafana_datasource_operator.kube.resources import Resources
from grafana_datasource_operator.reconcile.fleet import Fleet, Member
from grafana_datasource_operator.reconcile.looked import Looked
from grafana_datasource_operator.reconcile.ownership import Ownership
from grafana_datasource_operator.reconcile.removal import LOST_AFTER_SECONDS, DataSourceRemover
from grafana_datasource_operator.status.outcome import Action, Deferred, Outcome, Released
from tests.unit.builders import OWNER, SPEC, raw_resource, resource, state
from tests.unit.grafana.wire import answer
from tests.unit.kube.pretended import PretendedApi, Sent
from tests.unit.reconcile.pretended_grafana import a_connection, running
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]

MAIN = InstanceKey("monitoring", "main")
DELETED_AT = "2026-01-01T12:00:00Z"
OURS = state(id=7)
FOREIGN = state(id=7, jsonData={OWNER_KEY: "owner-2/a/b"})


def _after(seconds: float) -> str:
    at = datetime.fromisoformat(DELETED_AT) + timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """One instance, or none, and one data source there, or none."""

    def __init__(
        self,
        member: Json | None = None,
        *,
        key: InstanceKey = MAIN,
        held: Any = OURS,
        failing: bool = False,
        now: str = DELETED_AT,
        phase: str = "Active",
        exists: bool = False,
    ) -> None:
        self.key = key
        self.held = held
        self.sent: list[str] = []
        self.bodies: list[Json] = []
        self._failing = failing
        self._phase = phase
        self._exists = exists
        self._fleet = Fleet(lambda _: None)
        self.connection = a_connection(self._answer)
        if member is not None:
            self._fleet.put(Member(**{"key": key, "connection": self.connection, **member}))
        api = PretendedApi(self._serve)
        self.remover = DataSourceRemover(
            fleet=self._fleet,
            instances=Resources(api, INSTANCE, lambda _: None),
            namespaces=NamespaceReader(api),
            ownership=Ownership(OWNER.owner_id),
            now=lambda: now,
        )

    def _serve(self, sent: Sent) -> Json:
        if sent.path.endswith("/namespaces/monitoring"):
            return {"metadata": {"uid": "n"}, "status": {"phase": self._phase}}
        if not self._exists:
            raise NotFoundError(sent.path, 404)
        return {}

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self._failing:
            raise httpx.ConnectError("refused")
        if request.url.path == "/api/org":
            return answer(200, {"id": 1})
        self.sent.append(request.method)
        if self.held is None:
            return answer(404, {"message": "Data source not found"})
        shown = json.loads(self.held.model_dump_json(by_alias=True))
        if request.method == "GET":
            return answer(200, shown)
        if request.method == "DELETE":
            self.held = None
            return answer(200, {"message": "Data source deleted"})
        self.bodies.append(json.loads(request.content))
        return answer(200, {"datasource": shown})

    async def clean_up(
        self,
        *,
        policy: str = "Delete",
        recorded: Json | None = None,
        deleted: bool = True,
        annotations: Json | None = None,
        after: float = 0.0,
    ) -> Outcome:
        instances = [{**self.key._asdict(), "id": 7, **(recorded or {})}]
        arguments: Json = {
            "spec": {**SPEC, "deletionPolicy": policy},
            "status": {"instances": [] if recorded == {"none": True} else instances},
            "finalizers": [FINALIZER],
            "annotations": annotations or {},
        }
        if deleted:
            arguments["deletionTimestamp"] = DELETED_AT
        looked = Looked(resource(**arguments), raw_resource(**arguments))
        async with running(self.connection):
            await asyncio.sleep(after)
            return await self.remover.clean_up(looked, self.key)

    async def refusal(self, **arguments: Any) -> str:
        with pytest.raises(Retrying) as refused:
            await self.clean_up(**arguments)
        assert refused.value.reason is Reason.WAITING_FOR_INSTANCE
        return refused.value.message


def _released(outcome: Outcome) -> Action | None:
    assert isinstance(outcome, Released)
    return outcome.action


# --- with a Grafana -----------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [True, False])
@in_virtual_time
async def test_what_is_ours_is_deleted(deleted: bool) -> None:
    world = World({})
    assert _released(await world.clean_up(deleted=deleted)) is Action.DELETED
    assert world.sent == ["GET", "DELETE"]
    assert world.held is None


@in_virtual_time
async def test_what_is_gone_needs_no_word() -> None:
    world = World({}, held=None)
    assert _released(await world.clean_up()) is None
    assert world.sent == ["GET"]


@pytest.mark.parametrize(
    "held",
    [
        FOREIGN,
        state(id=8, jsonData={}),
        state(id=7, readOnly=True),
        state(id=7, jsonData={OWNER_KEY: f"{OWNER.owner_id}/monitoring/loki"}),
    ],
)
@pytest.mark.parametrize("policy", ["Delete", "Orphan"])
@in_virtual_time
async def test_what_is_not_ours_is_left_alone(held: Any, policy: str) -> None:
    world = World({}, held=held)
    assert _released(await world.clean_up(policy=policy)) is None
    assert world.sent == ["GET"]


@in_virtual_time
async def test_an_orphan_loses_our_mark_and_nothing_else() -> None:
    held = state(id=7, jsonData={"a": 1, OWNER_KEY: str(OWNER)}, url="http://x", version=5)
    world = World({}, held=held)
    assert _released(await world.clean_up(policy="Orphan", after=2.0)) is Action.ORPHANED
    (body,) = world.bodies
    assert (body["jsonData"], body["url"], body["version"]) == ({"a": 1}, "http://x", 5)
    assert "secureJsonData" not in body


@in_virtual_time
async def test_an_orphan_waits_for_what_the_process_before_may_have_written() -> None:
    world = World({})
    outcome = await world.clean_up(policy="Orphan")
    assert isinstance(outcome, Deferred)
    assert 1.0 < outcome.after <= 1.1
    assert world.bodies == []


@pytest.mark.parametrize("policy", ["Delete", "Orphan"])
@in_virtual_time
async def test_a_forced_deletion_asks_nobody(policy: str) -> None:
    world = World({}, failing=True)
    forced = {"gdso.dev/force-delete": "true"}
    assert _released(await world.clean_up(policy=policy, annotations=forced)) is Action.ORPHANED
    assert world.sent == []


@in_virtual_time
async def test_a_move_is_not_forced_by_an_annotation() -> None:
    world = World({})
    forced = {"gdso.dev/force-delete": "true"}
    outcome = await world.clean_up(deleted=False, annotations=forced)
    assert _released(outcome) is Action.DELETED


@in_virtual_time
async def test_a_grafana_that_is_away_is_waited_for_unless_it_may_be_left_as_it_is() -> None:
    with pytest.raises(Unreachable):
        await World({}, failing=True).clean_up()
    outcome = await World({}, failing=True).clean_up(policy="Orphan")
    assert _released(outcome) is Action.ORPHANED


# --- instances that cannot be used --------------------------------------------------------------


@in_virtual_time
async def test_in_dry_run_nothing_is_cleaned_up() -> None:
    world, orphaning = World({"mode": Mode.DRY_RUN}), World({"mode": Mode.DRY_RUN})
    assert "DryRun" in await world.refusal()
    assert _released(await orphaning.clean_up(policy="Orphan")) is Action.ORPHANED
    assert world.sent == orphaning.sent == ["GET"]


@pytest.mark.parametrize("held", [None, FOREIGN])
@in_virtual_time
async def test_where_nothing_is_to_be_written_a_dry_run_keeps_nobody(held: Any) -> None:
    assert _released(await World({"mode": Mode.DRY_RUN}, held=held).clean_up()) is None


_SUSPENDED: Json = {"connection": None, "problem": "is suspended", "is_suspended": True}
_LOST: Json = {"connection": None, "problem": "cannot be used (WaitingForSecret)"}


@pytest.mark.parametrize("seconds", [0, LOST_AFTER_SECONDS - 1, LOST_AFTER_SECONDS + 1, 10**6])
@pytest.mark.parametrize("phase", ["Active", "Terminating"])
@in_virtual_time
async def test_a_suspended_instance_is_waited_for_for_ever(seconds: float, phase: str) -> None:
    world = World(_SUSPENDED, now=_after(seconds), phase=phase)
    assert "monitoring/main is suspended" in await world.refusal()


@pytest.mark.parametrize(
    ("seconds", "phase", "let_go"),
    [
        (0, "Terminating", False),
        (LOST_AFTER_SECONDS - 1, "Terminating", False),
        (LOST_AFTER_SECONDS, "Terminating", True),
        (LOST_AFTER_SECONDS - 1, "Active", False),
        (LOST_AFTER_SECONDS + 1, "Active", False),
        (10**6, "Active", False),
    ],
)
@in_virtual_time
async def test_lost_credentials_are_waited_for_unless_the_namespace_goes_for_long(
    seconds: float, phase: str, let_go: bool
) -> None:
    world = World(_LOST, now=_after(seconds), phase=phase)
    if let_go:
        outcome = await world.clean_up()
        assert _released(outcome) is Action.ORPHANED
        assert isinstance(outcome, Released)
        assert "WaitingForSecret" in outcome.message
        assert "the namespace is going away" in outcome.message
    else:
        assert "cannot be used (WaitingForSecret)" in await world.refusal()


@in_virtual_time
async def test_a_resource_that_only_moves_never_counts_as_lost() -> None:
    world = World(_LOST, now=_after(10**6), phase="Terminating")
    assert "WaitingForSecret" in await world.refusal(deleted=False)


@in_virtual_time
async def test_credentials_that_are_still_known_serve_beside_a_problem() -> None:
    world = World({"problem": "cannot be used (WaitingForSecret)"})
    assert _released(await world.clean_up()) is Action.DELETED


# --- without an instance ------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [True, False])
@in_virtual_time
async def test_with_an_instance_that_is_gone_the_rest_is_let_go(deleted: bool) -> None:
    outcome = await World().clean_up(deleted=deleted)
    assert _released(outcome) is Action.ORPHANED
    assert isinstance(outcome, Released)
    assert "GrafanaInstance monitoring/main no longer exists" in outcome.message


@pytest.mark.parametrize("recorded", [{"none": True}, {"id": None}])
@in_virtual_time
async def test_where_nothing_ever_was_nothing_is_told(recorded: Json) -> None:
    assert _released(await World().clean_up(recorded=recorded)) is None


@in_virtual_time
async def test_an_instance_that_is_out_of_sight_is_not_gone() -> None:
    assert "out of the operator's sight" in await World(exists=True).refusal()


@in_virtual_time
async def test_a_default_that_the_settings_lost_blocks_a_deletion_and_no_move() -> None:
    world = World(key=FROM_SETTINGS)
    assert "GDSO_GRAFANA_URL" in await world.refusal()
    assert _released(await World(key=FROM_SETTINGS).clean_up(deleted=False)) is None
    assert _released(await World(key=FROM_SETTINGS).clean_up(policy="Orphan")) is Action.ORPHANED
