"""Whom an instance admits."""

from typing import Any

import pytest

from grafana_datasource_operator.api.instance import (
    AllowedAdopters,
    AllowedNamespaces,
    From,
    LabelSelector,
)
from grafana_datasource_operator.reconcile.admission import Admission, admission_of
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]

LABELS = {"team-a": {"team": "a", "tier": "prod"}, "team-b": {"team": "b"}, "bare": {}}


async def _admitted(rule: Admission) -> set[str]:
    """Which namespaces get in; `gone` does not exist."""
    asked: list[str] = []

    async def read_labels(namespace: str) -> dict[str, str]:
        asked.append(namespace)
        return LABELS.get(namespace, {})

    found = {name for name in [*LABELS, "home", "gone"] if await rule.admits(name, read_labels)}
    assert not asked or (rule.from_ is From.SELECTOR and not rule.names)
    return found


@pytest.mark.parametrize(
    ("rule", "admitted"),
    [
        (None, {"home"}),
        ({"from": "Same"}, {"home"}),
        ({"from": "All"}, {*LABELS, "home", "gone"}),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}, {"team-a"}),
        ({"from": "Selector", "selector": {}}, {*LABELS, "home", "gone"}),
        ({"from": "Selector"}, set()),
    ],
)
@in_virtual_time
async def test_a_rule_of_an_instance_admits_by_name_or_by_label(
    rule: Json | None, admitted: set[str]
) -> None:
    spec = None if rule is None else AllowedNamespaces.model_validate(rule)
    assert await _admitted(admission_of(spec, "home")) == admitted


@in_virtual_time
async def test_adopters_may_be_nobody() -> None:
    rule = AllowedAdopters.model_validate({"from": "None"})
    assert await _admitted(admission_of(rule, "home")) == set()


@in_virtual_time
async def test_a_list_of_names_counts_instead_of_all_else() -> None:
    for from_ in From:
        rule = Admission(from_, "home", names=frozenset({"team-a", "gone"}))
        assert await _admitted(rule) == {"team-a", "gone"}


@pytest.mark.parametrize(
    ("expression", "admitted"),
    [
        ({"operator": "In", "values": ["a", "c"]}, {"team-a"}),
        ({"operator": "In", "values": []}, set()),
        ({"operator": "NotIn", "values": ["a"]}, {"team-b", "bare", "home", "gone"}),
        ({"operator": "Exists"}, {"team-a", "team-b"}),
        ({"operator": "DoesNotExist"}, {"bare", "home", "gone"}),
    ],
)
@in_virtual_time
async def test_each_operator_means_what_kubernetes_means_by_it(
    expression: Json, admitted: set[str]
) -> None:
    selector = LabelSelector.model_validate({"matchExpressions": [{"key": "team", **expression}]})
    assert await _admitted(Admission(From.SELECTOR, "home", selector)) == admitted


@in_virtual_time
async def test_all_conditions_of_a_selector_have_to_hold() -> None:
    selector = LabelSelector.model_validate(
        {
            "matchLabels": {"tier": "prod"},
            "matchExpressions": [
                {"key": "team", "operator": "Exists"},
                {"key": "team", "operator": "NotIn", "values": ["b"]},
            ],
        }
    )
    assert await _admitted(Admission(From.SELECTOR, "home", selector)) == {"team-a"}
