"""What needs no hurry at the start of a process."""

from typing import Any

import pytest

from grafana_datasource_operator.assembly import is_settled
from tests.unit.builders import raw_resource

Json = dict[str, Any]


def _status(ready: str, observed: int) -> Json:
    conditions = [{"type": "Healthy", "status": "True"}, {"type": "Ready", "status": ready}]
    return {"observedGeneration": observed, "conditions": conditions}


@pytest.mark.parametrize(
    ("arguments", "settled"),
    [
        ({"status": _status("True", 3)}, True),
        ({"status": _status("False", 3)}, False),
        ({"status": _status("Unknown", 3)}, False),
        ({"status": _status("True", 2)}, False),
        ({"status": {"observedGeneration": 3}}, False),
        ({}, False),
        ({"status": _status("True", 3), "deletionTimestamp": "2026-01-02T03:04:05Z"}, False),
    ],
)
def test_only_what_was_in_sync_and_has_not_changed_needs_no_hurry_after_a_restart(
    arguments: Json, settled: bool
) -> None:
    assert is_settled(raw_resource(generation=3, **arguments)) is settled
