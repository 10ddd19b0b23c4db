"""An organization of a Grafana as tests use it: apart from others, counted and broken by itself."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.servers.grafana import Grafana
from tests.servers.grafana_tokens import NoTokensError
from tests.servers.target import Target

MakeTarget = Callable[[], Target]


@pytest.fixture
def make_target(contract_grafana: Grafana) -> Iterator[MakeTarget]:
    made: list[Target] = []

    def make() -> Target:
        try:
            made.append(Target(contract_grafana))
        except NoTokensError as error:
            pytest.skip(str(error))
        return made[-1]

    yield make
    for target in made:
        target.close()


def as_operator(target: Target, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {target.token}"}
    return httpx.get(f"{target.url}/api/{path}", headers=headers, timeout=10, trust_env=False)


def test_two_targets_of_one_server_do_not_see_each_other(make_target: MakeTarget) -> None:
    one, other = make_target(), make_target()
    one.make_by_hand("mine", url="http://one:1")
    assert [source["uid"] for source in one.all_in_grafana()] == ["mine"]
    assert (other.all_in_grafana(), other.in_grafana("mine")) == ([], None)
    assert as_operator(one, "org").json()["id"] == one.org_id
    assert as_operator(other, "org").json()["id"] == other.org_id


def test_an_edit_keeps_what_it_does_not_name_and_counts_as_a_version(
    make_target: MakeTarget,
) -> None:
    target = make_target()
    made = target.make_by_hand("edited", user="kept", jsonData={"a": 1})
    edited = target.edit("edited", url="http://edited:1")
    assert edited == {**made, "url": "http://edited:1", "version": made["version"] + 1}
    target.delete_by_hand("edited")
    assert target.in_grafana("edited") is None


def test_only_what_goes_through_the_proxy_is_counted_and_broken(make_target: MakeTarget) -> None:
    one, other = make_target(), make_target()
    one.make_by_hand("by-hand")
    assert one.requests() == []
    as_operator(one, "datasources/uid/by-hand")
    as_operator(one, "org")
    assert [request.path for request in one.requests()] == ["/api/datasources/uid/by-hand"]
    assert one.writes() == []
    with one.proxy.refusing():
        with pytest.raises(httpx.ConnectError):
            as_operator(one, "org")
        assert as_operator(other, "org").is_success
        assert one.held("by-hand")
