"""What a spec may not say, beyond what the schema refuses."""

from typing import Any

import pytest
from hypothesis import given

from grafana_datasource_operator.api.datasource import DataSource
from grafana_datasource_operator.api.names import OWNER_KEY
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import Stalled
from grafana_datasource_operator.payload.rules import MAX_LEVELS, URL_REQUIRED, check_spec
from tests.grafana_double.versions import VERSIONS
from tests.strategies import data_sources
from tests.unit.builders import resource, secret_key, value_from


def _refusal(**spec: Any) -> Stalled:
    with pytest.raises(Stalled) as refused:
        check_spec(resource(spec=spec).spec)
    assert refused.value.reason is Reason.INVALID_SPEC
    return refused.value


@given(data_sources)
def test_what_grafana_takes_is_let_through(admitted: DataSource) -> None:
    check_spec(admitted.spec)


@pytest.mark.parametrize("mark", ["owner-1/team/loki", "", None, 1])
def test_the_owner_mark_is_not_the_user_s_to_set(mark: Any) -> None:
    refusal = _refusal(type="cloudwatch", jsonData={OWNER_KEY: mark})
    assert refusal.message.startswith("spec.jsonData[gdso.dev/owner]: ")
    assert "remove it" in refusal.message


@pytest.mark.parametrize(
    ("json_data", "path"),
    [
        ({"limit": 2**63}, "spec.jsonData/limit"),
        ({"limit": -(2**63)}, "spec.jsonData/limit"),
        ({"deep": {"a/b": [0, 10**20]}}, "spec.jsonData/deep/a~1b/1"),
        ({"jsonData": {"jsonData": 2**64}}, "spec.jsonData/jsonData/jsonData"),
    ],
)
def test_an_integer_that_was_rounded_on_the_way_is_refused_by_its_path(
    json_data: dict[str, Any], path: str
) -> None:
    refusal = _refusal(type="cloudwatch", jsonData=json_data)
    assert refusal.message.startswith(f"{path}: ")
    assert "quote it" in refusal.message


@pytest.mark.parametrize("url", [{}, {"url": ""}, {"url": "  "}])
@pytest.mark.parametrize("type_", sorted(URL_REQUIRED))
def test_an_empty_url_is_refused_where_grafana_would_refuse_every_update(
    type_: str, url: dict[str, str]
) -> None:
    refusal = _refusal(type=type_, **url)
    assert refusal.message.startswith(f"spec.url: must be set for type {type_}")


@pytest.mark.parametrize(
    "type_", ["cloudwatch", "stackdriver", "testdata", "grafana-testdata-datasource", "my-plugin"]
)
def test_other_types_need_no_url(type_: str) -> None:
    check_spec(resource(spec={"type": type_}).spec)


def test_the_list_holds_every_type_that_any_recorded_server_refuses_without_a_url() -> None:
    refusing = frozenset[str]().union(*(version.url_required for version in VERSIONS.values()))
    assert refusing == URL_REQUIRED


def test_json_data_that_is_nested_beyond_reason_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_LEVELS):
        deep = {"deeper": deep}
    refusal = _refusal(type="cloudwatch", jsonData=deep)
    assert refusal.message.startswith("spec.jsonData: is nested more than 100 levels")
    check_spec(resource(spec={"type": "cloudwatch", "jsonData": deep["deeper"]}).spec)


def test_a_url_that_is_yet_to_come_from_elsewhere_counts_as_set() -> None:
    fed = value_from("/url", secret_key("prom", "url"))
    check_spec(resource(spec={"type": "prometheus", "valuesFrom": [fed]}).spec)
    other = value_from("/user", secret_key("prom", "user"))
    assert "spec.url" in _refusal(type="prometheus", valuesFrom=[other]).message


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"jsonData": {"a": {"dataSourceRef": "tempo"}}}, "spec.jsonData.a"),
        ({"ignoreFields": ["/url", "/type"]}, "spec.ignoreFields[1]"),
        ({"valuesFrom": [value_from("/type", secret_key("s", "k"))]}, "spec.valuesFrom[0].path"),
    ],
)
def test_references_and_pointers_are_checked_without_what_they_lead_to(
    spec: dict[str, Any], path: str
) -> None:
    assert _refusal(type="cloudwatch", **spec).message.startswith(f"{path}: ")
