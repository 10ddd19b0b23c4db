"""Deleting instances, and resources whose instance goes, is gone, or never answers again."""

from collections.abc import Callable

import pytest

from tests.integration.instances import add_instance, names_in, on_instance, wait_instance_reason
from tests.integration.instances import standing_instances as standing_instances
from tests.integration.patched_operator import with_constants
from tests.integration.sandbox import (
    INSTANCE,
    NO_DEFAULT_INSTANCE,
    Sandbox,
    ready_of,
)
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.servers.target import Target

FORCE_DELETE = "gdso.dev/force-delete"
OWNER_KEY = "gdso.dev/owner"


def settle(sandbox: Sandbox, instance: str, *names: str) -> Target:
    """An instance with resources on it, all ready."""
    target = add_instance(sandbox, instance)
    for name in names:
        sandbox.apply(name, on_instance(instance))
    for name in names:
        sandbox.wait_ready(name)
    return target


def delete_instance(sandbox: Sandbox, name: str) -> None:
    sandbox.delete(name, kind=INSTANCE)


def wait_instance_gone(sandbox: Sandbox, name: str) -> None:
    sandbox.wait_gone(name, kind=INSTANCE)


# --- the instance


def test_an_instance_that_nobody_uses_goes_at_once(shared: Sandbox) -> None:
    add_instance(shared, "unused")
    delete_instance(shared, "unused")
    wait_instance_gone(shared, "unused")
    # One that was never usable has no finalizer, and goes without an operator.
    auth = {"tokenSecretRef": {"name": "none"}}
    shared.apply_instance("unusable", shared.target, auth=auth)
    raw = wait_instance_reason(shared, "unusable", "WaitingForSecret")
    assert "finalizers" not in raw["metadata"]
    delete_instance(shared, "unusable")
    assert shared.get("unusable", kind=INSTANCE) is None


def test_an_instance_in_use_stays_until_the_last_resource_is_cleaned(shared: Sandbox) -> None:
    names = [f"user-{number}" for number in range(5)]
    target = settle(shared, "in-use", *names)
    delete_instance(shared, "in-use")
    raw = wait_instance_reason(shared, "in-use", "DeletionBlocked")
    home = shared.namespace
    assert ready_of(raw)["message"] == (
        f"still used by GrafanaDataSource {home}/user-0, {home}/user-1, {home}/user-2 and 2 more:"
        " delete them, or point them to another instance; to let go of them as they are, set"
        " spec.deletionPolicy: Orphan"
    )
    # What lives there is kept as it is, and can still be changed; nobody new moves in.
    shared.apply("user-0", on_instance("in-use", url="http://elsewhere:3100"))
    shared.wait_ready("user-0")
    assert target.held(shared.uid("user-0"))["url"] == "http://elsewhere:3100"
    shared.apply("newcomer", on_instance("in-use"))
    shared.wait_for_reason("newcomer", "WaitingForInstance", message="is being deleted")

    for name in names[:-1]:
        shared.delete(name)
        shared.wait_gone(name)
    assert shared.get("in-use", kind=INSTANCE) is not None
    # The last one moves away.
    other = add_instance(shared, "refuge")
    shared.apply(names[-1], on_instance("refuge"))
    wait_instance_gone(shared, "in-use")
    shared.wait_ready(names[-1])
    assert (names_in(target), names_in(other)) == (set(), {names[-1]})
    shared.wait_for_reason("newcomer", "WaitingForInstance", message="does not exist")


def test_an_instance_with_orphan_is_let_go_at_once_and_leaves_all_as_it_is(
    shared: Sandbox,
) -> None:
    target = settle(shared, "orphans", "left-1", "left-2")
    before = target.all_in_grafana()
    shared.patch("orphans", {"spec": {"deletionPolicy": "Orphan"}}, kind=INSTANCE)
    delete_instance(shared, "orphans")
    wait_instance_gone(shared, "orphans")
    shared.wait_for_reason("left-1", "WaitingForInstance", message="does not exist")
    for name in ("left-1", "left-2"):
        shared.delete(name)
        shared.wait_gone(name)
        event = shared.wait_for_event(name, "Orphaned")
        assert event["message"].endswith("no longer exists")
    assert target.all_in_grafana() == before


def test_an_instance_can_be_forced_to_go(shared: Sandbox) -> None:
    target = settle(shared, "forced", "on-forced")
    target.proxy.refuse()
    delete_instance(shared, "forced")
    wait_instance_reason(shared, "forced", "DeletionBlocked")
    shared.annotate("forced", FORCE_DELETE, "true", kind=INSTANCE)
    wait_instance_gone(shared, "forced")
    shared.delete("on-forced")
    shared.wait_gone("on-forced")
    assert names_in(target) == {"on-forced"}


def test_an_instance_that_is_made_again_takes_its_resources_back(shared: Sandbox) -> None:
    target = settle(shared, "again", "stays")
    held = target.held(shared.uid("stays"))
    shared.patch("again", {"spec": {"deletionPolicy": "Orphan"}}, kind=INSTANCE)
    delete_instance(shared, "again")
    wait_instance_gone(shared, "again")
    shared.wait_for_reason("stays", "WaitingForInstance")
    mark = target.proxy.mark()
    shared.apply_instance("again", target)
    shared.wait_ready("stays")
    assert target.held(shared.uid("stays")) == held
    assert target.writes(mark) == []


# --- both at once, in any order


@pytest.mark.parametrize("first", ["Secret", "instance", "resources"])
def test_an_app_that_is_deleted_at_once_leaves_grafana_clean(shared: Sandbox, first: str) -> None:
    name = f"app-{first.lower()}"
    names = [f"{name}-{number}" for number in range(3)]
    target = settle(shared, name, *names)

    def delete_resources() -> None:
        for one in names:
            shared.delete(one)

    steps: dict[str, Callable[[], None]] = {
        "Secret": lambda: shared.delete_secret(f"{name}-token"),
        "instance": lambda: delete_instance(shared, name),
        "resources": delete_resources,
    }
    for step in sorted(steps, key=lambda step: step != first):
        steps[step]()
    for one in names:
        shared.wait_gone(one)
    wait_instance_gone(shared, name)
    assert names_in(target) == set()


def test_credentials_that_were_read_serve_for_cleaning_up_after_their_secret_is_gone(
    shared: Sandbox,
) -> None:
    target = settle(shared, "memory", "remembered")
    shared.delete_secret("memory-token")
    wait_instance_reason(shared, "memory", "WaitingForSecret")
    mark = target.proxy.mark()
    # For nothing else: a Secret that is gone means that nothing is to be written.
    shared.apply("remembered", on_instance("memory", url="http://elsewhere:3100"))
    shared.wait_for_reason("remembered", "WaitingForInstance", message="cannot be used")
    assert target.writes(mark) == []
    shared.delete("remembered")
    shared.wait_gone("remembered")
    assert names_in(target) == set()
    delete_instance(shared, "memory")
    wait_instance_gone(shared, "memory")


def test_an_operator_that_starts_after_the_secrets_are_gone_waits_for_them(
    sandbox: Sandbox,
) -> None:
    operator = sandbox.start_operator(**NO_DEFAULT_INSTANCE)
    target = settle(sandbox, "main", "late", "later")
    operator.stop()
    sandbox.delete_secret("main-token")
    for name in ("late", "later"):
        sandbox.delete(name)
    delete_instance(sandbox, "main")
    operator.start()
    for name in ("late", "later"):
        blocked = sandbox.wait_for_reason(name, "DeletionBlocked")
        assert ready_of(blocked)["message"].startswith(
            f"WaitingForInstance: GrafanaInstance {sandbox.namespace}/main cannot be used"
            " (WaitingForSecret)"
        )
    wait_instance_reason(sandbox, "main", "DeletionBlocked")
    assert names_in(target) == {"late", "later"}
    sandbox.apply_secret("main-token", {"token": target.token})
    for name in ("late", "later"):
        sandbox.wait_gone(name)
    wait_instance_gone(sandbox, "main")
    assert names_in(target) == set()


# --- suspended


@pytest.mark.parametrize("instance_too", [False, True])
def test_a_suspended_instance_is_not_even_cleaned_up(shared: Sandbox, instance_too: bool) -> None:
    name = f"asleep-{instance_too}".lower()
    target = settle(shared, name, f"on-{name}")
    shared.patch(name, {"spec": {"suspend": True}}, kind=INSTANCE)
    shared.wait_for_reason(f"on-{name}", "WaitingForInstance", message="is suspended")
    mark = target.proxy.mark()
    if instance_too:
        delete_instance(shared, name)
    shared.delete(f"on-{name}")
    blocked = shared.wait_for_reason(f"on-{name}", "DeletionBlocked")
    assert ready_of(blocked)["message"].startswith(
        f"WaitingForInstance: GrafanaInstance {shared.namespace}/{name} is suspended."
    )
    assert target.proxy.since(mark) == []
    shared.patch(name, {"spec": {"suspend": False}}, kind=INSTANCE)
    shared.wait_gone(f"on-{name}")
    assert names_in(target) == set()
    if instance_too:
        wait_instance_gone(shared, name)


# --- a Grafana that is gone for good: blocked, said, and every way out


def escape_by_orphan(sandbox: Sandbox, instance: str, name: str) -> None:
    sandbox.patch(name, {"spec": {"deletionPolicy": "Orphan"}})


def escape_by_force(sandbox: Sandbox, instance: str, name: str) -> None:
    sandbox.annotate(name, FORCE_DELETE, "true")


def escape_by_orphaning_instance(sandbox: Sandbox, instance: str, name: str) -> None:
    sandbox.patch(instance, {"spec": {"deletionPolicy": "Orphan"}}, kind=INSTANCE)
    delete_instance(sandbox, instance)


def escape_by_removing_the_instances_finalizer(sandbox: Sandbox, instance: str, name: str) -> None:
    delete_instance(sandbox, instance)
    wait_instance_reason(sandbox, instance, "DeletionBlocked")
    sandbox.patch(instance, {"metadata": {"finalizers": None}}, kind=INSTANCE)


ESCAPES: list[Callable[[Sandbox, str, str], None]] = [
    escape_by_orphan,
    escape_by_force,
    escape_by_orphaning_instance,
    escape_by_removing_the_instances_finalizer,
]


@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.__name__[10:])
def test_each_escape_from_a_grafana_that_is_gone_works(
    shared: Sandbox, escape: Callable[[Sandbox, str, str], None]
) -> None:
    instance = f"lost-{ESCAPES.index(escape)}"
    name = f"on-{instance}"
    target = settle(shared, instance, name)
    target.proxy.refuse()
    shared.delete(name)
    blocked = shared.wait_for_reason(name, "DeletionBlocked")
    message = ready_of(blocked)["message"]
    assert message.startswith("GrafanaUnreachable: no connection to Grafana")
    assert f"{FORCE_DELETE}=true or spec.deletionPolicy: Orphan" in message
    escape(shared, instance, name)
    shared.wait_gone(name)
    shared.wait_for_event(name, "Orphaned")
    assert target.held(shared.uid(name))["jsonData"][OWNER_KEY]


def test_outside_of_a_namespace_that_goes_nobody_is_let_go_by_time(sandbox: Sandbox) -> None:
    """See test_namespace_deletion for the other case."""
    settings = lost_after(sandbox, 0.0)
    operator = sandbox.start_operator(**NO_DEFAULT_INSTANCE, **settings)
    target = settle(sandbox, "main", "kept")
    operator.stop()
    sandbox.delete_secret("main-token")
    sandbox.delete("kept")
    operator.start()
    sandbox.wait_for_reason("kept", "DeletionBlocked")
    sandbox.request_reconcile("kept")
    sandbox.wait_for_reason("kept", "DeletionBlocked")
    assert names_in(target) == {"kept"}


def lost_after(sandbox: Sandbox, seconds: float) -> dict[str, str]:
    """Variables of an operator that counts credentials as lost that soon."""
    directory = sandbox.directory.with_name(f"{sandbox.namespace}-patched")
    values = {"LOST_AFTER_SECONDS": seconds}
    return with_constants(directory, "reconcile.removal", values)
