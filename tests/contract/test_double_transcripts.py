"""The double answers as the recorded servers did, request by request."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.contract.http_story import Exchange, beginning_of, read_rows, tell
from tests.grafana_double.process import GrafanaDouble
from tests.grafana_double.versions import VERSIONS

_TRANSCRIPTS = Path(__file__).with_name("transcripts")

_SCENARIOS = "the resources of the test data plugin are not part of Grafana's API"
_EXCLUDED: dict[tuple[str, str], str] = {
    ("12.4.0", "ds.resources.uid"): _SCENARIOS,
    ("12.4.0", "ds.resources.id"): _SCENARIOS,
    ("8.5.9", "tsdb.query"): "the query API before /api/ds/query, which no operator uses",
}

_CASES = [
    pytest.param(version, number, id=f"{version}-{row.case}")
    for version in VERSIONS
    for number, row in enumerate(read_rows(_TRANSCRIPTS / f"{version}.jsonl"))
    if (version, row.case) not in _EXCLUDED
]

Told = Callable[[str], list[Exchange]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The story of a version, told once: its rows depend on each other."""

    @cache
    def tell_version(version: str) -> list[Exchange]:
        directory = tmp_path_factory.mktemp("grafana-double")
        with GrafanaDouble.start(version, provisioned=True, directory=directory) as grafana:
            rows = read_rows(_TRANSCRIPTS / f"{version}.jsonl")
            return tell(rows, grafana.url, grafana.admin)

    yield tell_version
    tell_version.cache_clear()


@pytest.mark.parametrize(("version", "number"), _CASES)
def test_double_answers_as_recorded(told: Told, version: str, number: int) -> None:
    exchange = told(version)[number]
    row = exchange.row
    seen = beginning_of(exchange.seen, exchange.expected) if row.is_cut else exchange.seen
    assert (exchange.seen_status, exchange.seen_content_type, seen) == (
        row.status,
        row.content_type,
        exchange.expected,
    )


def test_every_exclusion_is_of_a_recorded_row() -> None:
    recorded = {
        (version, row.case)
        for version in VERSIONS
        for row in read_rows(_TRANSCRIPTS / f"{version}.jsonl")
    }
    assert recorded >= _EXCLUDED.keys()
