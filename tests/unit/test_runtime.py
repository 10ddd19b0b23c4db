"""Small decisions at the start of a process: who refers to what, and what needs no hurry."""

from typing import Any

import pytest

from grafana_datasource_operator.engine.view import Reference
from grafana_datasource_operator.runtime import is_settled, references_of
from tests.unit.builders import SPEC, raw_resource

Json = dict[str, Any]


def _status(ready: str, observed: int) -> Json:
    conditions = [{"type": "Healthy", "status": "True"}, {"type": "Ready", "status": ready}]
    return {"observedGeneration": observed, "conditions": conditions}


def test_a_resource_refers_to_the_secrets_of_its_own_namespace() -> None:
    spec = {
        **SPEC,
        "secureJsonData": {"a": {"secretKeyRef": {"name": "one", "key": "k"}}},
        "secureJsonDataFrom": [{"secretRef": {"name": "two"}}],
    }
    assert set(references_of(raw_resource(spec=spec, namespace="team"))) == {
        Reference("Secret", "team", "one"),
        Reference("Secret", "team", "two"),
    }


@pytest.mark.parametrize("spec", [{}, {"type": 7}, {**SPEC, "access": "server"}])
def test_a_spec_that_cannot_be_read_refers_to_nothing(spec: Json) -> None:
    assert references_of(raw_resource(spec=spec)) == []


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
