"""Finalizers and status: what is patched, and what is never overwritten."""

from typing import Any

import pytest

from grafana_datasource_operator.api.names import DATA_SOURCE, FINALIZER
from grafana_datasource_operator.kube.errors import ConflictError, NotFoundError
from grafana_datasource_operator.kube.resources import Resources
from tests.unit.builders import raw_resource
from tests.unit.kube.pretended import PretendedApi, Sent
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]

PATH = "/apis/gdso.dev/v1beta1/namespaces/monitoring/grafanadatasources/prometheus"


class Store:
    """One object; patches of metadata need its present version."""

    def __init__(self, held: Json | None) -> None:
        self.held = held
        self.remembered: list[Json] = []
        self.api = PretendedApi(self._serve)
        self.resources = Resources(self.api, DATA_SOURCE, self.remembered.append)

    def _serve(self, sent: Sent) -> Json:
        if self.held is None:
            raise NotFoundError(sent.path, 404)
        if sent.body is not None:
            meta = sent.body["metadata"]
            for guard in ("uid", "resourceVersion"):
                if meta.get(guard, self.held["metadata"][guard]) != self.held["metadata"][guard]:
                    raise ConflictError(sent.path, 409)
            version = int(self.held["metadata"]["resourceVersion"]) + 1
            self.held = {
                **self.held,
                **sent.body,
                "metadata": {**self.held["metadata"], **meta, "resourceVersion": str(version)},
            }
        return self.held

    @property
    def finalizers(self) -> list[str]:
        assert self.held is not None
        return list(self.held["metadata"].get("finalizers", []))


@in_virtual_time
async def test_our_finalizer_comes_beside_those_of_others_and_goes_alone() -> None:
    store = Store(raw_resource(finalizers=["other/finalizer"]))
    written = await store.resources.add_finalizer(raw_resource(finalizers=["other/finalizer"]))
    assert store.finalizers == ["other/finalizer", FINALIZER]
    await store.resources.remove_finalizer(written)
    assert store.finalizers == ["other/finalizer"]
    assert {sent.path for sent in store.api.sent} == {PATH}


@in_virtual_time
async def test_a_finalizer_is_not_set_on_an_object_that_changed_meanwhile() -> None:
    store = Store(raw_resource(version=2, finalizers=["new/finalizer"]))
    with pytest.raises(ConflictError):
        await store.resources.add_finalizer(raw_resource(version=1))
    assert store.finalizers == ["new/finalizer"]


@in_virtual_time
async def test_a_finalizer_goes_from_a_deleted_object_although_it_changed_meanwhile() -> None:
    store = Store(raw_resource(version=2, finalizers=["new/finalizer", FINALIZER]))
    await store.resources.remove_finalizer(raw_resource(version=1, finalizers=[FINALIZER]))
    assert store.finalizers == ["new/finalizer"]


@in_virtual_time
async def test_a_namesake_made_since_keeps_its_finalizer() -> None:
    store = Store(raw_resource(uid="2", version=2, finalizers=[FINALIZER]))
    await store.resources.remove_finalizer(raw_resource(version=1, finalizers=[FINALIZER]))
    assert store.finalizers == [FINALIZER]


@in_virtual_time
async def test_a_status_is_replaced_whole() -> None:
    old = {"observedGeneration": 1, "uid": "a", "lastHandledReconcileAt": "now"}
    store = Store(raw_resource(status=old))
    await store.resources.patch_status(raw_resource(status=old), {"observedGeneration": 2})
    (sent,) = store.api.sent
    assert sent.path == f"{PATH}/status"
    assert sent.body is not None
    assert sent.body["status"] == {
        "observedGeneration": 2,
        "uid": None,
        "lastHandledReconcileAt": None,
    }


@in_virtual_time
async def test_a_status_is_not_given_to_a_namesake_made_since() -> None:
    store = Store(raw_resource(uid="2"))
    with pytest.raises(ConflictError):
        await store.resources.patch_status(raw_resource(), {"observedGeneration": 1})


@in_virtual_time
async def test_whatever_a_write_or_a_read_answers_is_remembered() -> None:
    store = Store(raw_resource())
    written = await store.resources.add_finalizer(raw_resource())
    found = await store.resources.get("monitoring", "prometheus")
    assert store.remembered == [written, found]


@in_virtual_time
async def test_what_is_not_there_is_none() -> None:
    store = Store(None)
    assert await store.resources.get("monitoring", "prometheus") is None
    assert store.remembered == []


@in_virtual_time
async def test_whether_something_exists_is_asked_without_remembering_it() -> None:
    store = Store(raw_resource())
    assert await store.resources.exists("monitoring", "prometheus")
    store.held = None
    assert not await store.resources.exists("monitoring", "prometheus")
    assert store.remembered == []
    assert {(sent.method, sent.path) for sent in store.api.sent} == {("GET", PATH)}


@pytest.mark.parametrize("items", [None, [], [{"metadata": {"name": "a"}}]])
@in_virtual_time
async def test_a_list_is_of_metadata_and_may_be_null(items: list[Json] | None) -> None:
    api = PretendedApi(lambda _: {"items": items})
    resources = Resources(api, DATA_SOURCE, lambda _: None)
    expected = [item["metadata"] for item in items or []]
    assert await resources.list_metadata("monitoring") == expected
    assert await resources.list_metadata(None) == expected
    assert [sent.path for sent in api.sent] == [
        "/apis/gdso.dev/v1beta1/namespaces/monitoring/grafanadatasources",
        "/apis/gdso.dev/v1beta1/grafanadatasources",
    ]
