"""References to other data sources: resolved anywhere, and looked at again when they change."""

from pathlib import Path

import pytest
import yaml

from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox

EXAMPLE = Path(__file__).parents[2] / "examples" / "traces-and-logs.yaml"
TEMPO: Json = {"type": "tempo", "url": "http://tempo:3200"}
QUIET: Json = {"healthCheck": {"enabled": False}}


def refer_to(name: str) -> Json:
    return {"dataSourceRef": {"name": name}}


def to_logs(reference: object) -> Json:
    return {**TEMPO, **QUIET, "jsonData": {"tracesToLogsV2": {"datasourceUid": reference}}}


def logs_uid(sandbox: Sandbox, name: str) -> object:
    return sandbox.held(sandbox.uid(name))["jsonData"]["tracesToLogsV2"]["datasourceUid"]


def settings_held(sandbox: Sandbox, name: str) -> Json:
    """What Grafana holds in jsonData, our mark aside."""
    held: Json = sandbox.held(sandbox.uid(name))["jsonData"]
    return {key: value for key, value in held.items() if key != "gdso.dev/owner"}


def test_two_that_point_at_each_other_are_ready_after_one_write_each(shared: Sandbox) -> None:
    specs = {
        raw["metadata"]["name"]: raw["spec"] for raw in yaml.safe_load_all(EXAMPLE.read_text())
    }
    mark = shared.proxy.mark()
    for name, spec in specs.items():
        shared.apply(name, spec)
    for name in specs:
        shared.wait_ready(name)
    assert logs_uid(shared, "traces") == shared.uid("logs")
    traces = settings_held(shared, "traces")
    assert traces["lokiSearch"] == {"datasourceUid": shared.uid("logs")}
    derived = settings_held(shared, "logs")["derivedFields"]
    assert [one["datasourceUid"] for one in derived] == [shared.uid("traces")]
    assert shared.target.writes(mark) == ["POST /api/datasources"] * 2


def test_references_are_resolved_wherever_they_are(shared: Sandbox) -> None:
    shared.apply("anywhere-logs", {**LOKI, **QUIET, "uid": "chosen-uid"})
    reference = refer_to("anywhere-logs")
    shared.apply(
        "anywhere",
        {
            **TEMPO,
            **QUIET,
            "jsonData": {
                "top": reference,
                "list": [reference, "other", [reference]],
                "deep": {"a": {"b": [{"c": reference}]}},
                "itself": refer_to("anywhere"),
                "no reference": {"dataSourceRef": None, "kept": 1},
            },
        },
    )
    shared.wait_ready("anywhere")
    assert settings_held(shared, "anywhere") == {
        "top": "chosen-uid",
        "list": ["chosen-uid", "other", ["chosen-uid"]],
        "deep": {"a": {"b": [{"c": "chosen-uid"}]}},
        "itself": shared.uid("anywhere"),
        "no reference": {"kept": 1},
    }


def test_who_refers_to_nothing_yet_waits_and_goes_on_by_itself(shared: Sandbox) -> None:
    mark = shared.proxy.mark()
    shared.apply("early", to_logs(refer_to("late")))
    waiting = shared.wait_for_reason("early", "WaitingForDataSource")
    message = ready_of(waiting)["message"]
    assert message.startswith("spec.jsonData.tracesToLogsV2.datasourceUid: GrafanaDataSource")
    assert '"late" does not exist' in message
    assert shared.target.writes(mark) == []
    assert waiting["metadata"].get("finalizers") is None

    shared.apply("late", {**LOKI, **QUIET})
    shared.wait_ready("early")
    assert logs_uid(shared, "early") == shared.uid("late")


def test_who_refers_to_what_cannot_be_synced_need_not_wait_for_it(shared: Sandbox) -> None:
    """Only its uid is needed, and that is known."""
    shared.apply("broken", {"type": "loki", **QUIET})
    shared.wait_for_reason("broken", "InvalidSpec")
    shared.apply("refers-to-broken", to_logs(refer_to("broken")))
    shared.wait_ready("refers-to-broken")
    assert logs_uid(shared, "refers-to-broken") == shared.uid("broken")


def test_another_uid_of_the_referred_one_is_sent_at_once_and_its_end_is_told(
    shared: Sandbox,
) -> None:
    shared.apply("moving", {**LOKI, **QUIET, "uid": "moving-first"})
    shared.apply("follows", to_logs(refer_to("moving")))
    shared.apply("stays", to_logs("moving-first"))
    for name in ("follows", "stays"):
        shared.wait_ready(name)
    mark = shared.proxy.mark()

    # Grafana keeps what it has while there is nothing to refer to.
    shared.delete("moving")
    shared.wait_for_reason("follows", "WaitingForDataSource", message='"moving" does not exist')
    assert logs_uid(shared, "follows") == "moving-first"

    shared.apply("moving", {**LOKI, **QUIET, "uid": "moving-second"})
    shared.wait_ready("follows")
    assert logs_uid(shared, "follows") == "moving-second"
    uid = shared.uid("follows")
    assert [w for w in shared.target.writes(mark) if uid in w] == [
        f"PUT /api/datasources/uid/{uid}"
    ]
    assert not [r for r in shared.grafana_requests(mark) if shared.uid("stays") in r]


INVALID: dict[str, tuple[Json, str, str]] = {
    "a key beside it": (
        {"a": [{**refer_to("x"), "uid": "y"}]},
        "spec.jsonData.a[0]",
        'remove "uid"',
    ),
    "a key beside its name": (
        {"a": {"dataSourceRef": {"name": "x", "namespace": "y"}}},
        "spec.jsonData.a",
        "holds name",
    ),
    "no name": ({"a": {"dataSourceRef": {}}}, "spec.jsonData.a", "holds name"),
    "a text": ({"a b": {"dataSourceRef": "x"}}, "spec.jsonData[a b]", "holds name"),
    "all of jsonData": (refer_to("x"), "spec.jsonData", "cannot be"),
}


@pytest.mark.parametrize("case", INVALID)
def test_what_is_no_reference_in_form_is_refused_by_its_place(shared: Sandbox, case: str) -> None:
    json_data, place, problem = INVALID[case]
    name = f"invalid-{list(INVALID).index(case)}"
    mark = shared.proxy.mark()
    shared.apply(name, {**TEMPO, "jsonData": json_data})
    refused = shared.wait_for_reason(name, "InvalidSpec", message=problem)
    assert ready_of(refused)["message"].startswith(f"{place}: ")
    assert shared.target.writes(mark) == []
    shared.apply(name, {**TEMPO, **QUIET, "jsonData": {"right": refer_to(name)}})
    shared.wait_ready(name)
