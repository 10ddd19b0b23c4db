"""What a user sees and scripts with kubectl alone."""

import re

import pytest

from tests.integration.sandbox import Sandbox
from tests.integration.specs import LOKI, secret_key
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.integration.standing import standing_sandbox as standing_sandbox
from tests.servers.faults import requests_of
from tests.servers.kubectl import KubectlError
from tests.servers.polling import eventually

COLUMNS = ["NAME", "TYPE", "INSTANCE", "READY", "STATUS", "HEALTHY", "AGE"]
WIDE_COLUMNS = ["UID", "URL", "MESSAGE"]


def table(text: str) -> list[dict[str, str]]:
    """Rows of what `kubectl get` prints, whose columns begin where their heads do."""
    head, *lines = text.rstrip("\n").split("\n")
    begins = [(found.group().strip(), found.start()) for found in re.finditer(r"\S+\s*", head)]
    ends = [begin for _, begin in begins[1:]] + [None]
    return [
        {name: line[begin:end].strip() for (name, begin), end in zip(begins, ends, strict=True)}
        for line in lines
    ]


def row(sandbox: Sandbox, name: str, *arguments: str) -> dict[str, str]:
    (found,) = table(sandbox.kubectl("get", "gds", name, *arguments))
    return found


def test_get_answers_whether_it_is_fine_and_if_not_why(shared: Sandbox) -> None:
    shared.apply("fine", LOKI)
    shared.apply("wrong", {"type": "prometheus"})
    shared.apply("waiting", {**LOKI, "secureJsonData": {"password": secret_key("none", "key")}})
    shared.wait_ready("fine")
    shared.wait_for_reason("wrong", "InvalidSpec")
    shared.wait_for_reason("waiting", "WaitingForSecret")

    rows = {found["NAME"]: found for found in table(shared.kubectl("get", "gds"))}
    assert list(rows["fine"]) == COLUMNS
    seen = {
        name: (found["TYPE"], found["INSTANCE"], found["READY"], found["STATUS"])
        for name, found in rows.items()
    }
    assert seen == {
        "fine": ("loki", "default", "True", "Synced"),
        "wrong": ("prometheus", "default", "False", "InvalidSpec"),
        "waiting": ("loki", "default", "False", "WaitingForSecret"),
    }
    assert re.fullmatch(r"\d+s", rows["fine"]["AGE"])


def test_get_wide_also_shows_uid_url_and_the_whole_message(shared: Sandbox) -> None:
    shared.apply("wide", LOKI)
    shared.apply("wide-wrong", {"type": "prometheus"})
    shared.wait_ready("wide")
    shared.wait_for_reason("wide-wrong", "InvalidSpec")
    fine = row(shared, "wide", "-o", "wide")
    assert list(fine) == [*COLUMNS, *WIDE_COLUMNS]
    assert fine["UID"] == shared.uid("wide")
    assert fine["URL"] == LOKI["url"]
    assert fine["MESSAGE"] == "Grafana holds this state"
    wrong = row(shared, "wide-wrong", "-o", "wide")
    assert wrong["MESSAGE"].startswith("spec.url: must be set for type prometheus")


def test_wait_returns_when_a_new_resource_is_ready(shared: Sandbox) -> None:
    shared.proxy.delay(1, requests_of("POST", "/api/datasources"))
    shared.apply("awaited", LOKI)
    shared.kubectl("wait", "gds/awaited", "--for=condition=Ready", "--timeout=30s")
    assert shared.in_grafana(shared.uid("awaited")) is not None


def test_wait_does_not_return_early_after_an_update(shared: Sandbox) -> None:
    uid = shared.uid("updated")
    shared.apply("updated", LOKI)
    shared.wait_ready("updated")
    shared.proxy.delay(1, requests_of("PUT", f"/api/datasources/uid/{uid}"))
    shared.apply("updated", {**LOKI, "url": "http://elsewhere:3100"})
    shared.kubectl("wait", "gds/updated", "--for=condition=Ready", "--timeout=30s")
    held = shared.held(uid)
    assert held["url"] == "http://elsewhere:3100"


def test_wait_can_ask_for_what_needs_a_person_and_for_the_end(shared: Sandbox) -> None:
    shared.apply("stalled", {"type": "prometheus"})
    shared.kubectl("wait", "gds/stalled", "--for=condition=Stalled", "--timeout=30s")
    with pytest.raises(KubectlError, match="condition not met"):
        shared.kubectl("wait", "gds/stalled", "--for=condition=Ready", "--timeout=0s")
    shared.kubectl("delete", "gds/stalled", "--wait=false")
    shared.kubectl("wait", "gds/stalled", "--for=delete", "--timeout=30s")


def test_describe_tells_the_story_of_a_resource(shared: Sandbox) -> None:
    shared.apply("story", LOKI)
    shared.wait_ready("story")
    shared.apply("story", {**LOKI, "url": ""})
    shared.wait_for_reason("story", "InvalidSpec")
    shared.wait("story", lambda _: len(shared.events("story")) == 2, "two events")
    text = shared.kubectl("describe", "gds/story")
    events = text.partition("\nEvents:\n")[2]
    assert re.search(r"Normal +Created .*gdso +Created the data source in Grafana", events)
    assert re.search(r"Warning +InvalidSpec .*gdso +spec\.url: must be set for type loki", events)
    assert "Status:" in text
    own = shared.kubectl("events", "--for", "gds/story")
    assert "Created" in own
    assert "InvalidSpec" in own


def test_annotate_asks_for_another_look_and_status_echoes_it(shared: Sandbox) -> None:
    shared.apply("asked", LOKI)
    shared.wait_ready("asked")
    mark = shared.proxy.mark()
    request = "gdso.dev/reconcile-requested-at=2026-01-01T00:00:00Z"
    shared.kubectl("annotate", "gds/asked", request)

    def echoed() -> str:
        path = "jsonpath={.status.lastHandledReconcileAt}"
        return shared.kubectl("get", "gds/asked", "-o", path)

    eventually(echoed, lambda seen: seen == "2026-01-01T00:00:00Z", 30, "the echo")
    assert shared.grafana_requests(mark) == [f"GET /api/datasources/uid/{shared.uid('asked')}"]


def test_edits_by_patch_replace_and_scripts_reach_grafana(shared: Sandbox) -> None:
    shared.apply("patched", LOKI)
    shared.wait_ready("patched")
    patch = '[{"op": "replace", "path": "/spec/url", "value": "http://patched:3100"}]'
    shared.kubectl("patch", "gds/patched", "--type=json", "-p", patch)
    shared.wait_ready("patched")
    held = shared.held(shared.uid("patched"))
    assert held["url"] == "http://patched:3100"
