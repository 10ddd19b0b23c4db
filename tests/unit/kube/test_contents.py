"""Secrets and ConfigMaps are read where and when they are used."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from grafana_datasource_operator.kube.contents import ContentReader
from grafana_datasource_operator.kube.errors import KubeError, NotFoundError
from tests.unit.kube.pretended import PretendedApi, Sent
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]
Read = Callable[[ContentReader, str, set[str]], Awaitable[dict[str, Any]]]


def _serve(sent: Sent) -> Json:
    name = sent.path.rpartition("/")[2]
    if name == "missing":
        raise NotFoundError(sent.path, 404)
    data = {"data": {"key": "c2VjcmV0LXZhbHVlLTE="}} if name == "full" else {}
    return {"metadata": {"name": name, "uid": f"uid of {name}", "resourceVersion": "7"}, **data}


_BOTH = [("secrets", ContentReader.read_secrets), ("configmaps", ContentReader.read_config_maps)]


@pytest.mark.parametrize(("plural", "read"), _BOTH)
@in_virtual_time
async def test_each_is_read_once_from_the_namespace_of_the_resource(
    plural: str, read: Read
) -> None:
    api = PretendedApi(_serve)
    found = await read(ContentReader(api), "monitoring", {"full", "empty", "missing"})
    assert sorted(sent.path for sent in api.sent) == [
        f"/api/v1/namespaces/monitoring/{plural}/{name}" for name in ("empty", "full", "missing")
    ]
    assert found["missing"] is None
    assert dict(found["empty"].data) == {}
    full = found["full"]
    assert (full.name, full.uid, full.resource_version) == ("full", "uid of full", "7")


@in_virtual_time
async def test_values_of_secrets_are_kept_as_they_are_and_out_of_sight() -> None:
    found = await ContentReader(PretendedApi(_serve)).read_secrets("monitoring", {"full"})
    full = found["full"]
    assert full is not None
    assert dict(full.data) == {"key": SecretStr("c2VjcmV0LXZhbHVlLTE=")}
    assert "c2Vjc" not in repr(found)


@in_virtual_time
async def test_values_of_config_maps_are_plain_text() -> None:
    found = await ContentReader(PretendedApi(_serve)).read_config_maps("monitoring", {"full"})
    full = found["full"]
    assert full is not None
    assert dict(full.data) == {"key": "c2VjcmV0LXZhbHVlLTE="}


@pytest.mark.parametrize("read", [read for _, read in _BOTH])
@in_virtual_time
async def test_nothing_is_asked_where_nothing_is_needed(read: Read) -> None:
    api = PretendedApi(_serve)
    assert await read(ContentReader(api), "monitoring", set()) == {}
    assert api.sent == []


@pytest.mark.parametrize("read", [read for _, read in _BOTH])
@in_virtual_time
async def test_an_apiserver_that_does_not_answer_is_not_a_secret_that_does_not_exist(
    read: Read,
) -> None:
    def fail(sent: Sent) -> Json:
        raise KubeError(sent.path, 403)

    with pytest.raises(KubeError):
        await read(ContentReader(PretendedApi(fail)), "monitoring", {"full"})
