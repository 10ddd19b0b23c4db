"""The double answers as a real server does, whatever is asked of both in the same order.

Where there is no real server, the other side is a second double that makes up other uids.
"""

import pytest

from tests.contract.random_requests import RandomRequests, Step
from tests.contract.twin_sessions import Session
from tests.grafana_double.process import GrafanaDouble
from tests.grafana_double.versions import VERSIONS
from tests.servers.grafana import Grafana

_SEQUENCES = 25


def test_random_requests_get_equal_answers(contract_grafana: Grafana) -> None:
    version = contract_grafana.version
    if version not in VERSIONS:
        pytest.skip(f"there is no double of Grafana {version}")
    with (
        GrafanaDouble.start(version, seed=1) as double,
        Session(double.url, double.admin) as session,
        Session(contract_grafana.url, contract_grafana.admin) as other,
    ):
        for seed in range(_SEQUENCES):
            _compare(session, other, seed, RandomRequests(seed).steps())


def _compare(session: Session, other: Session, seed: int, steps: list[Step]) -> None:
    session.empty()
    other.empty()
    for number, step in enumerate(steps):
        seen, expected = session.send(step), other.send(step)
        before = "\n".join(map(str, steps[:number]))
        assert seen == expected, f"seed {seed}: {step} after\n{before}"
