"""What Grafana makes of organizations, defaults and names, on every server and double alike."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.servers.echo import EchoServer
from tests.servers.grafana import Grafana
from tests.servers.target import Target

MakeTarget = Callable[[], Target]


@pytest.fixture
def make_target(contract_grafana: Grafana) -> Iterator[MakeTarget]:
    made: list[Target] = []

    def make() -> Target:
        made.append(Target(contract_grafana))
        return made[-1]

    yield make
    for target in made:
        target.close()


def is_new(target: Target) -> bool:
    return int(target.server.version.split(".")[0]) >= 12


def put(target: Target, uid: str, **fields: object) -> httpx.Response:
    held = target.held(uid)
    return target.client.put(f"datasources/{held['id']}", json={**held, **fields})


# --- organizations


def test_a_token_with_another_organization_is_refused_or_acts_in_its_own(
    make_target: MakeTarget,
) -> None:
    own, other = make_target(), make_target()
    headers = {
        "Authorization": f"Bearer {own.token}",
        "X-Grafana-Org-Id": str(other.org_id),
    }
    with httpx.Client(
        base_url=f"{own.server.url}/api/", headers=headers, trust_env=False
    ) as client:
        answer = client.get("org")
        if is_new(own):
            assert answer.status_code == 401
            assert answer.json()["messageId"] == "api-key.organization-mismatch"
            return
        assert answer.json()["id"] == own.org_id
        body = {"name": "a", "uid": "a", "type": "loki", "access": "proxy"}
        client.post("datasources", json=body).raise_for_status()
    assert (own.in_grafana("a") is not None, other.in_grafana("a")) == (True, None)


@pytest.mark.parametrize("header", ["0", "none"])
def test_a_header_that_is_no_organization_is_ignored(make_target: MakeTarget, header: str) -> None:
    target = make_target()
    headers = {"Authorization": f"Bearer {target.token}", "X-Grafana-Org-Id": header}
    answer = httpx.get(f"{target.server.url}/api/org", headers=headers, trust_env=False)
    assert answer.json()["id"] == target.org_id


def test_one_uid_and_name_may_be_in_two_organizations(make_target: MakeTarget) -> None:
    one, other = make_target(), make_target()
    for target in (one, other):
        target.make_by_hand("same", url=f"http://org-{target.org_id}:1")
    one.delete_by_hand("same")
    assert other.held("same")["url"] == f"http://org-{other.org_id}:1"


# --- defaults


def test_the_first_data_source_is_forced_to_be_default_once(make_target: MakeTarget) -> None:
    target = make_target()
    assert target.make_by_hand("first", isDefault=False)["isDefault"] is is_new(target)
    assert target.make_by_hand("second", isDefault=False)["isDefault"] is False
    assert target.edit("first", isDefault=False)["isDefault"] is False
    assert target.make_by_hand("third", isDefault=False)["isDefault"] is False
    assert [source["isDefault"] for source in target.all_in_grafana()] == [False] * 3


def test_a_new_default_takes_the_old_ones_place_without_a_trace_in_it(
    make_target: MakeTarget,
) -> None:
    target = make_target()
    old = target.make_by_hand("old", isDefault=True)
    target.make_by_hand("new", isDefault=True)
    assert target.held("old") == {**old, "isDefault": False}
    target.edit("old", isDefault=True)
    assert target.held("new")["isDefault"] is False
    target.delete_by_hand("old")
    assert [source["isDefault"] for source in target.all_in_grafana()] == [False]


def test_a_refused_write_does_not_disturb_the_default(make_target: MakeTarget) -> None:
    target = make_target()
    holder = target.make_by_hand("holder", isDefault=True)
    body = {"name": "holder", "uid": "other", "type": "loki", "access": "proxy", "isDefault": True}
    assert target.client.post("datasources", json=body).status_code == 409
    assert target.held("holder") == holder


# --- names


def test_a_name_that_another_one_has_is_refused(make_target: MakeTarget) -> None:
    target = make_target()
    a, b = target.make_by_hand("a"), target.make_by_hand("b")
    assert put(target, "a", name="b", isDefault=True).status_code == (
        409 if is_new(target) else 500
    )
    assert [target.held("a"), target.held("b")] == [a, b]


def test_names_are_swapped_through_a_third_and_secrets_follow(
    make_target: MakeTarget, echo: EchoServer
) -> None:
    target = make_target()
    for uid in ("a", "b"):
        target.make_by_hand(
            uid,
            type="prometheus",
            url=echo.url,
            jsonData={"httpHeaderName1": "X-Secret"},
            secureJsonData={"httpHeaderValue1": f"secret of {uid}"},
        )
    target.edit("a", name="between")
    target.edit("b", name="a")
    target.edit("a", name="b")
    for uid in ("a", "b"):
        target.query(uid)
        assert echo.last_header("X-Secret") == f"secret of {uid}"


def test_names_and_uids_differ_by_case(make_target: MakeTarget) -> None:
    target = make_target()
    target.make_by_hand("case")
    target.make_by_hand("CASE")
    assert {source["name"] for source in target.all_in_grafana()} == {"case", "CASE"}
