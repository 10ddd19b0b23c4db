"""The CustomResourceDefinition: generated, structural, bounded, friendly to client-side apply."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from grafana_datasource_operator.api.crd import CRDS, data_source_crd, instance_crd, render
from grafana_datasource_operator.api.datasource import DataSource
from grafana_datasource_operator.api.instance import Instance
from grafana_datasource_operator.api.reasons import Reason
from tests.unit.builders import raw_resource

Json = dict[str, Any]

_COMMITTED = Path(__file__).parents[3] / "crds"


def _schema(part: str, definition: Json | None = None) -> Json:
    version = (definition or data_source_crd())["spec"]["versions"][0]
    return cast("Json", version["schema"]["openAPIV3Schema"]["properties"][part])


def _nodes(schema: Json, path: str, *, in_list: bool = False) -> Iterator[tuple[str, Json, bool]]:
    """Every node with its path, and whether it is inside a list item."""
    yield path, schema, in_list
    for name, child in schema.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}", in_list=in_list)
    if "items" in schema:
        yield from _nodes(schema["items"], f"{path}[]", in_list=True)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _nodes(schema["additionalProperties"], f"{path}{{}}", in_list=in_list)


_SPEC = list(_nodes(_schema("spec"), "spec"))
_INSTANCE_SPEC = list(_nodes(_schema("spec", instance_crd()), "instance spec"))
_STATUS = list(_nodes(_schema("status"), "status"))
_INSTANCE_STATUS = list(_nodes(_schema("status", instance_crd()), "instance status"))
_ALL = [*_SPEC, *_STATUS, *_INSTANCE_SPEC, *_INSTANCE_STATUS]


@pytest.mark.parametrize("name", CRDS)
def test_the_committed_definition_is_the_generated_one(name: str) -> None:
    committed = _COMMITTED / name
    assert committed.is_file(), f"{committed} is missing: run `make generate` and commit it"
    assert committed.read_text() == render(CRDS[name]()), (
        f"crds/{name} is not what the models say: run `make generate` and commit it"
    )


def test_no_other_definition_is_committed() -> None:
    assert {path.name for path in _COMMITTED.iterdir()} == set(CRDS)


@pytest.mark.parametrize("name", CRDS)
def test_the_rendered_document_reads_back_as_what_was_generated(name: str) -> None:
    assert yaml.safe_load(render(CRDS[name]())) == CRDS[name]()


def test_the_walk_sees_fields_of_objects_of_list_items_and_of_map_values() -> None:
    paths = {path for path, _, _ in _ALL}
    assert {
        "spec.url",
        "spec.secureJsonDataFrom[].secretRef.name",
        "spec.secureJsonData{}.secretKeyRef.key",
        "spec.valuesFrom[].valueFrom.configMapKeyRef.key",
        "instance spec.headers{}.secretKeyRef.name",
        "status.conditions[].reason",
    } <= paths


def test_every_node_has_a_type() -> None:
    assert [path for path, node, _ in _ALL if "type" not in node] == []


def test_every_field_has_a_description() -> None:
    # What is inside a list or map of texts is said by the field itself.
    fields = [(path, node) for path, node, _ in _ALL if not path.endswith(("[]", "{}"))]
    assert [path for path, node in fields if not node.get("description", "").strip()] == []


def test_no_node_has_what_a_structural_schema_may_not_have() -> None:
    unfit = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "examples", "nullable"}
    found = [(path, unfit & node.keys()) for path, node, _ in _ALL if unfit & node.keys()]
    assert found == []


def test_no_node_has_both_properties_and_additional_properties() -> None:
    both = {"properties", "additionalProperties"}
    assert [path for path, node, _ in _ALL if both <= node.keys()] == []


def test_every_list_says_how_it_merges_and_has_an_end() -> None:
    lists = {path: node for path, node, _ in _ALL if node["type"] == "array"}
    assert {
        "spec.secureJsonDataFrom",
        "spec.valuesFrom",
        "spec.ignoreFields",
        "status.conditions",
        "status.instances",
        "instance status.conditions",
    } <= set(lists)
    for path, node in lists.items():
        kind = node.get("x-kubernetes-list-type")
        assert kind in {"atomic", "set", "map"}, path
        assert node.get("maxItems", 0) > 0, path
        if kind == "map":
            keys = node["x-kubernetes-list-map-keys"]
            assert set(keys) <= set(node["items"]["required"]), path


def test_every_map_has_an_end() -> None:
    maps = [
        path
        for path, node, _ in _ALL
        if isinstance(node.get("additionalProperties"), dict) and "maxProperties" not in node
    ]
    assert maps == []


def test_every_string_is_bounded() -> None:
    bounds = {"maxLength", "enum", "format"}
    unbounded = [
        path for path, node, _ in _ALL if node["type"] == "string" and not bounds & node.keys()
    ]
    assert unbounded == []


def test_every_integer_is_as_wide_as_grafana_s() -> None:
    formats = {node.get("format") for _, node, _ in _ALL if node["type"] == "integer"}
    assert formats == {"int64"}


def test_only_fields_that_mean_the_same_everywhere_have_a_default() -> None:
    defaults = {path: node["default"] for path, node, _ in _SPEC if "default" in node}
    assert defaults == {
        "spec.access": "proxy",
        "spec.adoptionPolicy": "Never",
        "spec.deletionPolicy": "Delete",
        "spec.driftPolicy": "Correct",
    }
    of_instance = {path: node["default"] for path, node, _ in _INSTANCE_SPEC if "default" in node}
    assert of_instance == {
        "instance spec.auth.basicAuthSecretRef.passwordKey": "admin-password",
        "instance spec.auth.basicAuthSecretRef.usernameKey": "admin-user",
        "instance spec.auth.tokenSecretRef.key": "token",
        "instance spec.deletionPolicy": "Delete",
        "instance spec.mode": "Enforce",
        "instance spec.tls.caConfigMapRef.key": "ca.crt",
        "instance spec.tls.caSecretRef.key": "ca.crt",
    }


def test_nothing_inside_a_list_item_has_a_default() -> None:
    assert [path for path, node, in_list in _ALL if in_list and "default" in node] == []


def test_only_the_status_as_a_whole_has_a_default_which_kstatus_reads_as_in_progress() -> None:
    with_default = [p for p, n, _ in [*_STATUS, *_INSTANCE_STATUS] if "default" in n]
    assert with_default == ["status", "instance status"]
    default = _schema("status")["default"]
    assert _schema("status", instance_crd())["default"] == default
    assert default["observedGeneration"] == -1
    (ready,) = default["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "Pending")


def test_the_default_status_is_one_that_the_models_read() -> None:
    default = _schema("status")["default"]
    resource = DataSource.model_validate(raw_resource(status=default))
    assert resource.status.conditions[0].reason is Reason.PENDING
    assert resource.status.observed_generation == -1
    instance = Instance.model_validate(
        {
            "metadata": {"name": "main", "namespace": "monitoring"},
            "spec": {"url": "http://grafana", "auth": {"tokenSecretRef": {"name": "grafana"}}},
            "status": _schema("status", instance_crd())["default"],
        }
    )
    assert instance.status.observed_generation == -1


def test_free_form_fields_keep_what_the_schema_does_not_know() -> None:
    keeping = [p for p, node, _ in _ALL if node.get("x-kubernetes-preserve-unknown-fields")]
    assert keeping == ["spec.jsonData"]


def test_the_reason_of_a_newer_release_fits_the_schema() -> None:
    reasons = [node for path, node, _ in _ALL if path.endswith(".reason")]
    assert len(reasons) == 3
    assert all("enum" not in node for node in reasons)


def test_only_type_must_be_said() -> None:
    assert _schema("spec")["required"] == ["type"]


def test_names_are_those_of_the_contract() -> None:
    definition = data_source_crd()
    names = definition["spec"]["names"]
    assert definition["metadata"]["name"] == "grafanadatasources.gdso.dev"
    assert (names["kind"], names["shortNames"], names["categories"]) == (
        "GrafanaDataSource",
        ["gds"],
        ["grafana"],
    )
    assert definition["spec"]["scope"] == "Namespaced"
    assert definition["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_kubectl_get_answers_whether_it_is_fine_and_if_not_why() -> None:
    columns = data_source_crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    narrow = [column["name"] for column in columns if not column.get("priority")]
    wide = [column["name"] for column in columns if column.get("priority")]
    assert narrow == ["Type", "Instance", "Ready", "Status", "Healthy", "Age"]
    assert wide == ["UID", "URL", "Message"]
