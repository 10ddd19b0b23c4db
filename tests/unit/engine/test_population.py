"""The metric of how many resources are in which state."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from grafana_datasource_operator.api.names import ObjectKey
from grafana_datasource_operator.engine.population import Population
from tests.unit.builders import raw_resource

Json = dict[str, Any]

KIND = "Counted"
"""A kind of its own: the metric is one for the whole process."""

States = dict[tuple[str, str], float]


def _shown() -> States:
    """(ready, reason) -> how many, of every series that there is."""
    return {
        (sample.labels["ready"], sample.labels["reason"]): sample.value
        for metric in REGISTRY.collect()
        if metric.name == "gdso_resources"
        for sample in metric.samples
        if sample.labels["kind"] == KIND
    }


def _key(name: str) -> ObjectKey:
    return ObjectKey(KIND, "monitoring", name)


def _in_state(ready: str, reason: str) -> Json:
    conditions = [
        {"type": "Healthy", "status": "False", "reason": "Synced"},
        {"type": "Ready", "status": ready, "reason": reason},
    ]
    return raw_resource(kind=KIND, status={"conditions": conditions})


def test_each_resource_counts_once_under_its_present_state() -> None:
    population = Population()
    population.count(_key("a"), _in_state("True", "Synced"))
    population.count(_key("b"), _in_state("True", "Synced"))
    population.count(_key("b"), _in_state("True", "Synced"))
    population.count(_key("c"), _in_state("False", "InvalidSpec"))
    assert _shown() == {("True", "Synced"): 2, ("False", "InvalidSpec"): 1}
    population.count(_key("b"), _in_state("False", "InvalidSpec"))
    assert _shown() == {("True", "Synced"): 1, ("False", "InvalidSpec"): 2}
    for name in "abc":
        population.remove(_key(name))
    assert _shown() == {}


def test_a_resource_that_nobody_has_looked_at_is_pending() -> None:
    population = Population()
    population.count(_key("a"), raw_resource(kind=KIND))
    population.count(_key("b"), raw_resource(kind=KIND, status={"conditions": []}))
    assert _shown() == {("Unknown", "Pending"): 2}
    population.remove(_key("a"))
    population.remove(_key("b"))


def test_series_of_the_deleted_go_and_a_second_goodbye_changes_nothing() -> None:
    population = Population()
    population.count(_key("a"), _in_state("True", "Synced"))
    population.remove(_key("a"))
    population.remove(_key("a"))
    assert _shown() == {}


_states = st.none() | st.tuples(
    st.sampled_from(["True", "False"]), st.sampled_from(["Synced", "InvalidSpec"])
)


@given(st.lists(st.tuples(st.sampled_from("abc"), _states)))
def test_the_metric_always_equals_a_count(
    steps: list[tuple[str, tuple[str, str] | None]],
) -> None:
    population, present = Population(), dict[str, tuple[str, str]]()
    for name, state in steps:
        if state is None:
            population.remove(_key(name))
            present.pop(name, None)
        else:
            population.count(_key(name), _in_state(*state))
            present[name] = state
        states = list(present.values())
        assert _shown() == {state: states.count(state) for state in states}
    for name in present:
        population.remove(_key(name))
