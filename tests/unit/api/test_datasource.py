"""GrafanaDataSource as it is read from and written to the apiserver."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from grafana_datasource_operator.api.conditions import Condition
from grafana_datasource_operator.api.datasource import (
    Access,
    AdoptionPolicy,
    DataSourceStatus,
    DeletionPolicy,
    DriftPolicy,
    SyncStatus,
    parse_data_source,
)
from grafana_datasource_operator.api.names import FROM_SETTINGS, InstanceKey
from grafana_datasource_operator.api.reasons import ConditionStatus, ConditionType, Reason
from tests.strategies import raw_data_sources
from tests.unit.builders import raw_resource, resource

Json = dict[str, Any]

_STATUS: Json = {
    "observedGeneration": 3,
    "uid": "prometheus",
    "instanceSummary": "default",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "observedGeneration": 3,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
            "reason": "Synced",
            "message": "Grafana holds this state",
        }
    ],
    "instances": [
        {
            "namespace": "-",
            "name": "default",
            "id": 7,
            "version": 4,
            "secretsRevision": "5c1f",
            "synced": "True",
            "reason": "Synced",
            "message": "",
        }
    ],
    "lastHandledReconcileAt": "2026-01-02T03:00:00Z",
}

_statuses = st.builds(
    DataSourceStatus,
    observed_generation=st.integers(-1, 99),
    uid=st.none() | st.just("prometheus"),
    instance_summary=st.none() | st.just("default"),
    conditions=st.lists(
        st.builds(
            Condition,
            type=st.sampled_from(ConditionType),
            status=st.sampled_from(ConditionStatus),
            observed_generation=st.integers(-1, 99),
            last_transition_time=st.just("2026-01-02T03:04:05Z"),
            reason=st.sampled_from(Reason),
            message=st.text(max_size=20),
        ),
        max_size=4,
    ),
    instances=st.lists(
        st.builds(
            SyncStatus,
            namespace=st.just("-"),
            name=st.just("default"),
            id=st.none() | st.integers(1, 99),
            version=st.none() | st.integers(1, 99),
            secrets_revision=st.none() | st.just("5c1f"),
            synced=st.sampled_from(ConditionStatus),
            health=st.none() | st.just("OK"),
            reason=st.sampled_from(Reason),
            message=st.text(max_size=20),
        ),
        max_size=2,
    ),
    last_handled_reconcile_at=st.none() | st.just("now"),
)


def _dumped(status: DataSourceStatus) -> Json:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_a_stored_status_is_written_back_as_it_was() -> None:
    assert _dumped(resource(status=_STATUS).status) == _STATUS


@given(_statuses)
def test_every_status_survives_the_way_to_the_apiserver_and_back(status: DataSourceStatus) -> None:
    stored = _dumped(status)
    read = resource(status=stored).status
    assert read == status
    assert _dumped(read) == stored


@pytest.mark.parametrize(
    "foreign",
    [
        {**_STATUS, "conditions": [{**_STATUS["conditions"][0], "reason": "ReasonOfTomorrow"}]},
        {**_STATUS, "conditions": [{**_STATUS["conditions"][0], "type": "Verified"}]},
        {**_STATUS, "conditions": "none"},
        {**_STATUS, "observedGeneration": "many"},
        {**_STATUS, "instances": [{"namespace": "-"}]},
        "a text",
        None,
    ],
)
def test_a_status_that_this_release_cannot_read_counts_as_none(foreign: Any) -> None:
    parsed = parse_data_source({**raw_resource(), "status": foreign})
    assert parsed.status == DataSourceStatus()
    assert parsed.status.conditions[0].reason is Reason.PENDING


def test_fields_of_a_newer_status_are_dropped_and_the_rest_is_kept() -> None:
    newer = resource(status={**_STATUS, "shard": 3}).status
    assert newer == resource(status=_STATUS).status


def test_an_instance_is_found_by_namespace_and_name() -> None:
    parsed = resource(status=_STATUS)
    found = parsed.recorded(FROM_SETTINGS)
    assert found is not None
    assert (found.id, found.version, found.key) == (7, 4, FROM_SETTINGS)
    assert parsed.recorded(InstanceKey("monitoring", "default")) is None
    assert parsed.recorded(InstanceKey("-", "main")) is None


def test_a_spec_that_says_only_the_type_leaves_the_rest_open() -> None:
    spec = resource(spec={"type": "prometheus"}).spec
    assert (spec.access, spec.deletion_policy) == (Access.PROXY, DeletionPolicy.DELETE)
    assert (spec.adoption_policy, spec.drift_policy) == (AdoptionPolicy.NEVER, DriftPolicy.CORRECT)
    said = spec.model_dump(exclude_none=True, exclude_defaults=True)
    assert said == {"type": "prometheus"}


@given(raw_data_sources())
def test_every_admitted_spec_is_read_without_loss(raw: Json) -> None:
    spec = parse_data_source(raw).spec
    read = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert read == raw["spec"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "type"),
        ({"type": "loki", "access": "server"}, "access"),
        ({"type": "loki", "uid": "a.b"}, "uid"),
        ({"type": "loki", "uid": "u" * 41}, "uid"),
        ({"type": "loki", "uid": ""}, "uid"),
        ({"type": "loki", "url": "u" * 256}, "url"),
        ({"type": "loki", "name": "n" * 191}, "name"),
        ({"type": "loki", "jsonData": ["no", "object"]}, "jsonData"),
        ({"type": "loki", "resyncInterval": "soon"}, "resyncInterval"),
        ({"type": "loki", "secureJsonData": {"key": "plain text"}}, "secureJsonData"),
        ({"type": "loki", "secureJsonDataFrom": [{"secretRef": {}}]}, "secureJsonDataFrom"),
        ({"type": "loki", "valuesFrom": [{"path": "url", "valueFrom": {}}]}, "valuesFrom"),
        ({"type": "loki", "valuesFrom": [{"path": "/url"}]}, "valuesFrom"),
        ({"type": "loki", "ignoreFields": ["/jsonData/a~b"]}, "ignoreFields"),
        ({"type": "loki", "adoptionPolicy": "Always"}, "adoptionPolicy"),
        ({"type": "loki", "driftPolicy": "Ignore"}, "driftPolicy"),
    ],
)
def test_a_spec_that_the_schema_does_not_admit_is_refused_at_its_field(
    spec: Json, field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        resource(spec=spec)
    assert refused.value.errors()[0]["loc"][:2] == ("spec", field)


def test_a_refusal_never_quotes_what_was_written() -> None:
    with pytest.raises(ValidationError) as refused:
        resource(spec={"type": "loki", "secureJsonData": {"key": "mistyped-secret-value"}})
    assert "mistyped-secret-value" not in str(refused.value)
    assert "mistyped-secret-value" not in repr(refused.value)
