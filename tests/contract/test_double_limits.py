"""What an administrator of Grafana restricts, and how that looks from outside."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import httpx
import pytest

from tests.grafana_double.process import GrafanaDouble
from tests.grafana_double.versions import VERSIONS


class Start(Protocol):
    """Starts a double with options, and answers a client with its administrator's password."""

    def __call__(
        self, *, datasource_limit: int | None = None, quota: int | None = None
    ) -> httpx.Client: ...


@pytest.fixture(params=VERSIONS)
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    with ExitStack() as opened:

        def started(
            *, datasource_limit: int | None = None, quota: int | None = None
        ) -> httpx.Client:
            double = opened.enter_context(
                GrafanaDouble.start(request.param, datasource_limit=datasource_limit, quota=quota)
            )
            client = httpx.Client(base_url=double.url, auth=double.admin, trust_env=False)
            return opened.enter_context(client)

        yield started


def _create(client: httpx.Client, name: str) -> httpx.Response:
    body = {"name": name, "uid": name, "type": "loki", "access": "proxy"}
    return client.post("/api/datasources", json=body)


def test_list_ends_at_the_limit_in_the_order_of_the_database(start: Start) -> None:
    client = start(datasource_limit=3)
    for name in ("b", "a", "B", "Z"):
        assert _create(client, name).is_success
    listed = [source["name"] for source in client.get("/api/datasources").json()]
    assert listed == ["a", "B", "Z"]  # capitals first for the database, then sorted for people
    assert client.get("/api/datasources/uid/b").is_success


def test_full_quota_hides_that_the_data_source_exists(start: Start) -> None:
    client = start(quota=1)
    assert _create(client, "one").is_success
    for name in ("two", "one"):
        answer = _create(client, name)
        assert (answer.status_code, answer.json()) == (
            403,
            {"message": "data_source Quota reached"},
        )
    client.delete("/api/datasources/uid/one").raise_for_status()
    assert _create(client, "two").is_success


def test_five_wrong_passwords_lock_out_the_right_one(start: Start) -> None:
    client = start()
    for _ in range(4):
        wrong = client.get("/api/org", auth=("admin", "wrong"))
    assert client.get("/api/org").is_success
    wrong = client.get("/api/org", auth=("admin", "wrong"))
    right = client.get("/api/org")
    assert (right.status_code, right.json()) == (401, wrong.json())
