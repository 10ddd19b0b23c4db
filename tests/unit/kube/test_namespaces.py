"""Namespaces: uid, labels, and whether one is going away."""

from typing import Any

import pytest

from grafana_datasource_operator.kube.errors import KubeError, NotFoundError
from grafana_datasource_operator.kube.namespaces import Namespace, NamespaceReader
from tests.unit.kube.pretended import PretendedApi, Sent
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]


def _reader(raw: Json | KubeError) -> NamespaceReader:
    def serve(sent: Sent) -> Json:
        assert (sent.method, sent.path) == ("GET", "/api/v1/namespaces/team")
        if isinstance(raw, KubeError):
            raise raw
        return raw

    return NamespaceReader(PretendedApi(serve))


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ({"metadata": {"uid": "n-1"}}, Namespace("n-1")),
        (
            {"metadata": {"uid": "n-1", "labels": {"a": "b"}}, "status": {"phase": "Active"}},
            Namespace("n-1", {"a": "b"}),
        ),
        (
            {"metadata": {"uid": "n-1", "labels": None}, "status": {"phase": "Terminating"}},
            Namespace("n-1", is_terminating=True),
        ),
    ],
)
@in_virtual_time
async def test_a_namespace_is_read_as_it_is(raw: Json, found: Namespace) -> None:
    assert await _reader(raw).read("team") == found
    assert await _reader(raw).read_labels("team") == found.labels


@in_virtual_time
async def test_a_namespace_that_does_not_exist_has_no_labels() -> None:
    reader = _reader(NotFoundError("GET", 404))
    assert await reader.read("team") is None
    assert await reader.read_labels("team") == {}


@in_virtual_time
async def test_a_namespace_that_may_not_be_read_is_not_one_without_labels() -> None:
    for read in (NamespaceReader.read, NamespaceReader.read_labels):
        with pytest.raises(KubeError):
            await read(_reader(KubeError("GET", 403)), "team")
