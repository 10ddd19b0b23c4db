"""What each answer to the check of a data source means: recorded ones, and their like."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from grafana_datasource_operator.api.reasons import ConditionStatus
from grafana_datasource_operator.grafana.answers import MAX_QUOTED, Answer, read_answer
from grafana_datasource_operator.grafana.health import Health, read_health
from tests.unit.grafana.wire import answer, page

_TRANSCRIPTS = Path(__file__).parents[2] / "contract" / "transcripts"
TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

_OK = (TRUE, "OK", "Data source is working")
_REFUSED = (FALSE, "ERROR", 'Post "http://127.0.0.1:2/api/v1/query": dial tcp 127.0.0.1:2')
_NO_CHECK = (UNKNOWN, "", 'the plugin of type "thing" has no check of health')
_NOT_INSTALLED = (UNKNOWN, "", 'the plugin of type "thing" is not installed in Grafana')
_MISSING = (UNKNOWN, "", '"Unable to load datasource metadata"')

_RECORDED = {
    ("12.4.0", "ds.health.uid.prom"): _REFUSED,
    ("12.4.0", "ds.health.uid.unknown-plugin"): _NOT_INSTALLED,
    ("12.4.0", "ds.health.uid.missing"): _MISSING,
    ("12.4.0", "ds.health.id"): _REFUSED,
    ("12.4.0", "ds.health.testdata"): _OK,
    ("12.4.0", "ds.health.testdata2"): _OK,
    ("9.4.0-pre", "ds.health.uid.prom"): _NO_CHECK,
    ("9.4.0-pre", "ds.health.uid.unknown-plugin"): _NOT_INSTALLED,
    ("9.4.0-pre", "ds.health.uid.missing"): _MISSING,
    ("9.4.0-pre", "ds.health.id"): _NO_CHECK,
    ("9.4.0-pre", "ds.health.testdata"): _NOT_INSTALLED,
    ("9.4.0-pre", "ds.health.testdata2"): _NO_CHECK,
    ("8.5.9", "ds.health.uid.prom"): _NO_CHECK,
    ("8.5.9", "ds.health.uid.unknown-plugin"): _NO_CHECK,
    ("8.5.9", "ds.health.uid.missing"): _NO_CHECK,
    ("8.5.9", "ds.health.id"): _NO_CHECK,
    ("8.5.9", "ds.health.testdata"): _NO_CHECK,
    ("8.5.9", "ds.health.testdata2"): _NO_CHECK,
}


def _recorded() -> dict[tuple[str, str], Answer]:
    found = {}
    for transcript in _TRANSCRIPTS.glob("*.jsonl"):
        for row in map(json.loads, transcript.read_text().splitlines()):
            if row["path"].startswith("/api/datasources/") and row["path"].endswith("/health"):
                response = httpx.Response(
                    row["status"],
                    content=json.dumps(row["response"]),
                    headers={"Content-Type": row["contentType"]},
                )
                found[transcript.stem, row["case"]] = read_answer(response)
    return found


def _is(health: Health, meaning: tuple[ConditionStatus, str, str]) -> None:
    status, word, text = meaning
    assert (health.status, health.word) == (status, word)
    assert text in health.message


def test_every_recorded_answer_has_its_meaning() -> None:
    assert _recorded().keys() == _RECORDED.keys()


@pytest.mark.parametrize("row", _RECORDED, ids="-".join)
def test_recorded_answers_mean_what_they_should(row: tuple[str, str]) -> None:
    _is(read_health(_recorded()[row], "thing"), _RECORDED[row])


def _plugin_error(status: int, name: str, message: str) -> httpx.Response:
    return answer(status, {"statusCode": status, "messageId": f"plugin.{name}", "message": message})


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (answer(200, {"status": "OK", "message": "", "details": {}}), (TRUE, "OK", "OK")),
        (answer(200, {"status": "ERROR", "message": "down"}), (FALSE, "ERROR", "down")),
        (answer(400, {"status": "UNKNOWN", "message": "odd"}), (FALSE, "UNKNOWN", "odd")),
        (answer(400, {"status": "ERROR"}), (FALSE, "ERROR", "says ERROR, and no more")),
        (answer(400, {"status": "OK"}), (FALSE, "OK", "OK")),
        (answer(400, {"message": "UID is invalid"}), (UNKNOWN, "", '"UID is invalid"')),
        (answer(400, {"status": "error", "message": "bad"}), (UNKNOWN, "", '"bad"')),
        (answer(400, {"status": 1, "message": "bad"}), (UNKNOWN, "", '"bad"')),
        (answer(400, {"status": {}, "message": "bad"}), (UNKNOWN, "", '"bad"')),
        (answer(404, {"kind": "Status", "status": "Failure"}), _NO_CHECK),
        (answer(404, {"message": "Plugin not found"}), _NO_CHECK),
        (_plugin_error(501, "notImplemented", "Method not implemented"), _NO_CHECK),
        (_plugin_error(404, "notRegistered", "Plugin not registered"), _NOT_INSTALLED),
        (
            _plugin_error(500, "unavailable", "Plugin unavailable"),
            (UNKNOWN, "", 'the plugin of type "thing" is not available'),
        ),
        (
            answer(503, {"message": "Plugin unavailable"}),
            (UNKNOWN, "", 'the plugin of type "thing" is not available'),
        ),
        (
            _plugin_error(500, "healthCheck", "Plugin health check failed"),
            (UNKNOWN, "", 'could not check the plugin of type "thing": HTTP 500 ("Plugin health'),
        ),
        (
            answer(403, {"message": "Permissions needed: datasources:query"}),
            (UNKNOWN, "", "datasources:query"),
        ),
        (answer(200, {}), (UNKNOWN, "", "HTTP 200")),
        (answer(200, []), (UNKNOWN, "", "HTTP 200")),
        (page(502), (UNKNOWN, "", "something before Grafana answered HTTP 502")),
        (page(504), (UNKNOWN, "", "something before Grafana answered HTTP 504")),
        (page(200, '{"status": "OK"}'), (UNKNOWN, "", "something before Grafana")),
    ],
)
def test_answers_mean_what_they_should(
    response: httpx.Response, meaning: tuple[ConditionStatus, str, str]
) -> None:
    _is(read_health(read_answer(response), "thing"), meaning)


def test_no_answer_in_time_is_a_finding() -> None:
    assert read_health(None, "thing") == Health(FALSE, "", "no answer in 20 s")


def test_without_a_type_the_plugin_is_that_of_the_data_source() -> None:
    health = read_health(read_answer(answer(501, {"message": "x"})), "")
    assert health.message.startswith("the plugin of the data source has no check")


@pytest.mark.parametrize("content", [{"status": "ERROR"}, {}])
def test_a_long_message_is_cut(content: dict[str, Any]) -> None:
    long = {**content, "message": "m" * 10_000}
    health = read_health(read_answer(answer(400, long)), "thing")
    assert "m" * MAX_QUOTED in health.message
    assert len(health.message) < MAX_QUOTED + 100
