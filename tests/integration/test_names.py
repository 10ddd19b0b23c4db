"""Display names: one of several resources gets it, and those that swap names all get theirs."""

import secrets

import pytest

from tests.integration.places import Place, oldest_first
from tests.integration.places import place as place
from tests.integration.places import place_on_every_grafana as place_on_every_grafana
from tests.integration.places import standing_places as standing_places
from tests.integration.sandbox import Sandbox, ready_of
from tests.integration.specs import secret_key


def names_in(place: Place) -> dict[str, str]:
    """Uid -> name of all that Grafana holds."""
    return {one["uid"]: one["name"] for one in place.target.all_in_grafana()}


@pytest.mark.parametrize("number", [2, 3], ids=["two", "three"])
def test_resources_that_pass_their_names_on_in_a_circle_end_with_all_names_right(
    place_on_every_grafana: Place, number: int
) -> None:
    place, users = place_on_every_grafana, place_on_every_grafana.sandbox
    resources = [f"circle-{place.instance}-{n}" for n in range(number)]
    users.apply_secret("circle", {"password": "kept through the circle"})
    password = {"password": secret_key("circle", "password")}
    for name in resources:
        place.apply(name, name=f"Name of {name}", secureJsonData=password)
    for name in resources:
        users.wait_ready(name)
    ids = {name: place.held(name)["id"] for name in resources}

    wanted = dict(zip(resources, [*resources[1:], resources[0]], strict=True))
    for name, next_one in wanted.items():
        place.apply(name, name=f"Name of {next_one}", secureJsonData=password)
    for name in resources:
        users.wait_ready(name)
    assert names_in(place) == {users.uid(n): f"Name of {next_}" for n, next_ in wanted.items()}
    assert {name: place.held(name)["id"] for name in resources} == ids
    assert all(place.held(name)["secureJsonFields"] == {"password": True} for name in resources)


def test_a_circle_that_was_cut_by_a_crash_ends_right_as_well(sandbox: Sandbox) -> None:
    operator = sandbox.start_operator()
    for name in ("a", "b"):
        sandbox.apply(name, {"type": "loki", "url": "http://loki:1", "name": name})
    for name in ("a", "b"):
        sandbox.wait_ready(name)
    operator.kill()
    # As it is when the process ends between the two writes.
    sandbox.target.edit(sandbox.uid("a"), name="b (gdso 01234567)")
    for name, other in (("a", "b"), ("b", "a")):
        sandbox.apply(name, {"type": "loki", "url": "http://loki:1", "name": other})
    operator.start()
    for name in ("a", "b"):
        sandbox.wait_ready(name)
    assert sandbox.held(sandbox.uid("a"))["name"] == "b"
    assert sandbox.held(sandbox.uid("b"))["name"] == "a"


def test_of_several_that_appear_at_once_the_oldest_gets_the_name_and_keeps_it(
    sandbox: Sandbox,
) -> None:
    spec = {"type": "loki", "url": "http://loki:1", "name": "Wanted"}
    first, *others = oldest_first(*(sandbox.apply(name, spec) for name in ("d", "c", "b", "a")))
    operator = sandbox.start_operator()
    sandbox.wait_ready(first)
    for name in others:
        told = ready_of(sandbox.wait_for_reason(name, "NameConflict"))
        assert '"Wanted"' in told["message"]
        assert first in told["message"]
    held = sandbox.all_in_grafana()
    assert [one["uid"] for one in held] == [sandbox.uid(first)]

    operator.restart()
    for name in (*others, first):
        sandbox.request_reconcile(name)
    assert sandbox.all_in_grafana() == held


@pytest.mark.parametrize("way", ["deleted", "renamed", "moved"])
def test_a_name_that_is_given_up_is_taken_at_once_by_the_next(place: Place, way: str) -> None:
    users = place.sandbox
    first, second, third = (f"{way}-{place.instance}-{n}" for n in (1, 2, 3))
    place.apply(first, name="Wanted")
    users.wait_ready(first)
    for name in (second, third):
        place.apply(name, name="Wanted")
        users.wait_for_reason(name, "NameConflict")
    match way:
        case "deleted":
            users.delete(first)
        case "renamed":
            place.apply(first, name="Given up")
        case "moved":
            elsewhere = users.add_grafana()
            users.apply_instance(f"elsewhere-{place.instance}", elsewhere)
            place.apply(first, instanceRef={"name": f"elsewhere-{place.instance}"}, name="Wanted")
    users.wait_ready(second)
    assert place.held(second)["name"] == "Wanted"
    users.wait_for_reason(third, "NameConflict")


def test_a_name_from_elsewhere_is_not_taken_for_one_that_is_about_to_change(place: Place) -> None:
    users = place.sandbox
    holder, late, last = (f"{n}-{place.instance}" for n in ("holder", "late", "last"))
    users.apply_config_map(holder, {"name": "From elsewhere"})
    source = {"configMapKeyRef": {"name": holder, "key": "name"}}
    place.apply(holder, valuesFrom=[{"path": "/name", "valueFrom": source}])
    users.wait_ready(holder)
    mark = place.target.proxy.mark()
    place.apply(late, name="From elsewhere")
    users.wait_for_reason(late, "NameConflict")
    # One that is looked at each 1.2 s would have tried again before all of these.
    for _ in range(3):
        users.request_reconcile(holder)
        place.apply(last, url=f"http://{secrets.token_hex(4)}:1")
        users.wait_ready(last)
    looks = [r for r in place.target.requests(mark) if r.path.endswith(users.uid(late))]
    assert len(looks) == 1
