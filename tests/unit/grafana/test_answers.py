"""Which error an answer of Grafana, or of what stands before it, means."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grafana_datasource_operator.grafana import errors
from grafana_datasource_operator.grafana.answers import (
    LONGEST_RETRY_AFTER,
    MAX_QUOTED,
    expect_object,
    read_answer,
    to_error,
)
from tests.unit.grafana.wire import answer, page

Json = dict[str, Any]

_TRANSCRIPTS = Path(__file__).parents[2] / "contract" / "transcripts"

# The routes that the client calls, and their likes by id and by name.
_ROUTES = re.compile(r"/api/(org|datasources(/(uid|name|id)/[^/?]+|/[^/?]+)?)")
_OTHER = re.compile(r".*correlations")


class Recorded(NamedTuple):
    """An error that a server once answered."""

    server: str
    case: str
    status: int
    content_type: str
    content: Json


def _recorded() -> list[Recorded]:
    rows = [
        (transcript.stem, json.loads(line))
        for transcript in sorted(_TRANSCRIPTS.glob("*.jsonl"))
        for line in transcript.read_text().splitlines()
    ]
    return [
        Recorded(server, row["case"], row["status"], row["contentType"], row["response"])
        for server, row in rows
        if row["status"] >= 400 and _ROUTES.fullmatch(row["path"]) and not _OTHER.match(row["path"])
    ]


_MEANING: list[tuple[int, str, type[errors.GrafanaError]]] = [
    (400, "bad request data", errors.Rejected),
    (400, "id is invalid", errors.Rejected),
    (400, "Invalid datasource UID.", errors.Rejected),
    (400, "Invalid datasource name.", errors.Rejected),
    (400, "Validation error, invalid URL", errors.Rejected),
    (401, "", errors.Unauthorized),
    (403, "Cannot update read-only data source", errors.ReadOnly),
    (403, "Cannot delete read-only data source", errors.ReadOnly),
    (403, "Permission denied", errors.PermissionDenied),
    (403, "You'll need additional permissions", errors.PermissionDenied),
    (404, "Data source not found", errors.NotFound),
    (404, "Not found", errors.Unavailable),
    (409, "data source with the same uid already exists", errors.AlreadyExists),
    (409, "data source with the same name already exists", errors.AlreadyExists),
    (409, "Failed to update datasource: data source with the same name", errors.AlreadyExists),
    (500, "Failed to update datasource", errors.ServerFault),
]


@pytest.mark.parametrize("row", _recorded(), ids=lambda row: f"{row.server}-{row.case}")
def test_every_recorded_error_means_what_it_should(row: Recorded) -> None:
    meanings = [
        kind
        for status, beginning, kind in _MEANING
        if row.status == status and row.content["message"].startswith(beginning)
    ]
    assert meanings, f"say in _MEANING what {row.status} {row.content['message']!r} is"
    recorded = httpx.Response(
        row.status,
        content=json.dumps(row.content),
        headers={"Content-Type": row.content_type},
    )
    assert type(to_error(read_answer(recorded))) is meanings[0]


def test_the_recorded_errors_are_those_of_three_servers_and_many_kinds() -> None:
    rows = _recorded()
    assert len({row.server for row in rows}) == 3
    assert {row.status for row in rows} >= {400, 401, 403, 404, 409, 500}


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "API key does not belong to the requested organization", errors.Unauthorized),
        (500, "invalid API key", errors.Unauthorized),
        (500, "Invalid API key", errors.Unauthorized),
        (400, "invalid API key", errors.Rejected),
        (403, "data_source Quota reached", errors.QuotaReached),
        (403, "Quota reached", errors.QuotaReached),
        (
            403,
            "Cannot create datasource with team HTTP headers, need to use"
            " updateDatasourceLBACRules API",
            errors.Rejected,
        ),
        (403, "Access denied", errors.PermissionDenied),
        (403, "", errors.PermissionDenied),
        (404, "", errors.Unavailable),
        (
            409,
            "Datasource has already been updated by someone else. Please reload and try again",
            errors.VersionConflict,
        ),
        (409, "", errors.AlreadyExists),
        (412, "Precondition failed", errors.Rejected),
        (422, "Unprocessable", errors.Rejected),
        (429, "Too many requests", errors.Throttled),
        (500, "Failed to add datasource", errors.ServerFault),
        (500, "sqlstore.max-retries-reached", errors.ServerFault),
        (500, "", errors.ServerFault),
        (502, "", errors.Unavailable),
        (503, "", errors.Unavailable),
        (504, "", errors.Unavailable),
    ],
)
def test_errors_that_were_measured_elsewhere_mean_what_they_should(
    status: int, message: str, kind: type[errors.GrafanaError]
) -> None:
    assert type(to_error(read_answer(answer(status, {"message": message})))) is kind


@pytest.mark.parametrize("status", [200, 301, 302, 400, 401, 403, 404, 409, 429, 500, 502, 503])
def test_a_page_of_something_on_the_way_is_never_taken_for_grafana_s_word(status: int) -> None:
    error = to_error(read_answer(page(status, "<html>Data source not found</html>")))
    assert type(error) is (errors.Throttled if status == 429 else errors.Unavailable)
    assert str(status) in error.message
    assert "Data source not found" not in error.message


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(502),
        httpx.Response(200),
        httpx.Response(204),
        httpx.Response(404, headers={"Content-Type": "application/json"}),
        httpx.Response(200, headers={"Content-Type": "application/json"}, content=b"{"),
        httpx.Response(200, headers={"Content-Type": "application/json"}, content=b"\xff"),
        httpx.Response(200, headers={"Content-Type": "application/json"}, content=b"[]"),
        httpx.Response(200, headers={"Content-Type": "application/json"}, content=b"null"),
        httpx.Response(201, headers={"Content-Type": "application/json"}, content=b"{}"),
        httpx.Response(200, headers={"Content-Type": "application/json"}, content=b"[" * 200_000),
    ],
)
def test_what_is_no_json_object_is_no_answer_of_grafana(response: httpx.Response) -> None:
    with pytest.raises(errors.Unavailable, match="check the URL"):
        expect_object(read_answer(response))


def test_a_successful_answer_is_its_object() -> None:
    assert expect_object(read_answer(answer(200, {"id": 1}))) == {"id": 1}


def test_what_every_other_request_would_meet_needs_no_second_question() -> None:
    def pauses(status: int) -> bool:
        error = to_error(read_answer(answer(status, {"message": "x"})))
        assert isinstance(error, errors.Unaskable)
        return error.pauses

    assert {status: pauses(status) for status in (401, 404, 429, 500, 502, 503, 504)} == {
        401: True,
        404: False,
        429: True,
        500: False,
        502: False,
        503: False,
        504: False,
    }


# --- when to come back --------------------------------------------------------------------------

_DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry_After": "30"}, 30),
        ({"Retry_After": "0"}, 0),
        ({"Retry_After": "Wed, 21 Oct 2026 07:30:00 GMT", "Date": _DATE}, 120),
        ({"Retry_After": "Wed, 21 Oct 2026 09:30:00 +0200", "Date": _DATE}, 120),
        ({"Retry_After": "Wed, 21 Oct 2026 07:00:00 GMT", "Date": _DATE}, 0),
        ({"Retry_After": "Wed, 21 Oct 2026 07:30:00 GMT"}, None),
        ({"Retry_After": "Wed, 21 Oct 2026 07:30:00 GMT", "Date": "yesterday"}, None),
        ({"Retry_After": "Wed, 21 Oct 2026 07:30:00 -0000", "Date": _DATE}, None),
        ({"Retry_After": "86400"}, LONGEST_RETRY_AFTER),
        ({"Retry_After": "9" * 400}, LONGEST_RETRY_AFTER),
        ({"Retry_After": "Thu, 22 Oct 2026 07:30:00 GMT", "Date": _DATE}, LONGEST_RETRY_AFTER),
        ({"Retry_After": "soon", "Date": _DATE}, None),
        ({"Retry_After": "-5", "Date": _DATE}, None),
        ({"Retry_After": "1.5", "Date": _DATE}, None),
        ({"Retry_After": "", "Date": _DATE}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_server_s_own_clock(
    headers: dict[str, str], seconds: float | None
) -> None:
    for status in (429, 503):
        error = to_error(read_answer(answer(status, {"message": "x"}, **headers)))
        assert isinstance(error, errors.Unavailable)
        assert error.retry_after == seconds


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_page_may_say_when_to_come_back_too(status: int) -> None:
    response = page(status)
    response.headers["Retry-After"] = "17"
    error = to_error(read_answer(response))
    assert isinstance(error, errors.Unavailable)
    assert error.retry_after == 17


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])))
@example("²")
@example("9" * 5000)
@example("Wed, 21 Oct 2026 07:30:00 +9999999999999999")
def test_no_header_is_strange_enough_to_end_in_anything_but_a_number(value: str) -> None:
    headers = [(b"Content-Type", b"application/json"), (b"Date", _DATE.encode())]
    response = httpx.Response(503, headers=[*headers, (b"Retry-After", value.encode("latin-1"))])
    seconds = read_answer(response).retry_after
    assert seconds is None or 0 <= seconds < float("inf")


# --- what is said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (401, "Invalid API key", ['"Invalid API key"', "check the token"]),
        (
            403,
            "You'll need additional permissions. Permissions needed: datasources:create",
            ["datasources:create", "role Admin"],
        ),
        (403, "Cannot update read-only data source", ["provisioned from a file"]),
        (403, "Quota reached", ["quota"]),
        (404, "Not found", ["sub-path"]),
        (400, "Validation error, invalid URL", ["HTTP 400", '"Validation error, invalid URL"']),
        (500, "Failed to update datasource", ["HTTP 500", '"Failed to update datasource"']),
        (409, "Datasource has already been updated by someone else", ["at the same time"]),
    ],
)
def test_an_error_says_what_is_wrong_for_people(status: int, message: str, said: list[str]) -> None:
    error = to_error(read_answer(answer(status, {"message": message})))
    assert error.message == str(error)
    for part in said:
        assert part in error.message


def test_a_long_message_of_grafana_is_cut() -> None:
    error = to_error(read_answer(answer(400, {"message": "m" * 10_000})))
    assert "m" * MAX_QUOTED in error.message
    assert len(error.message) < MAX_QUOTED + 100


@pytest.mark.parametrize("content", [{}, {"message": ""}, {"message": None}, {"error": "x"}, []])
def test_without_a_message_none_is_quoted(content: Any) -> None:
    error = to_error(read_answer(answer(400, content)))
    assert error.message == "Grafana refused it with HTTP 400"


def test_only_the_message_of_an_answer_is_ever_repeated() -> None:
    content = {"message": "no", "error": "secret-1", "details": ["secret-1"], "stack": "secret-1"}
    for status in (400, 401, 403, 404, 409, 429, 500, 502):
        assert "secret-1" not in to_error(read_answer(answer(status, content))).message


@pytest.mark.parametrize(
    ("response", "missing"),
    [
        (answer(404, {"message": "Not found"}), True),
        (answer(404, {}), True),
        (answer(404, {"message": "Data source not found"}), False),
        (answer(404, {"message": "Plugin not registered"}), False),
        (answer(500, {"message": "Not found"}), False),
        (page(404), False),
    ],
)
def test_a_missing_route_is_told_from_a_missing_thing(
    response: httpx.Response, missing: bool
) -> None:
    assert read_answer(response).is_missing_route is missing
