"""The operator may die at any write: started again, it ends where it would have without."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pytest

from tests.conftest import StartProxy
from tests.integration.kube_proxy import ProxiedKubernetes, patch_of_object, patch_of_status
from tests.integration.sandbox import SECONDS, Json, Sandbox
from tests.servers.echo import EchoServer
from tests.servers.fault_proxy import FaultProxy
from tests.servers.faults import Fault, Predicate, requests_of
from tests.servers.polling import eventually

When = Literal["before", "after"]

SIGKILL = -9
NAME = "prometheus"


@dataclass(frozen=True)
class Write:
    """One of the operator's writes, by the proxy that it passes."""

    name: str
    side: Literal["kubernetes", "grafana"]
    matching: Predicate

    def __str__(self) -> str:
        return self.name


SET_FINALIZER = Write("finalizer PATCH", "kubernetes", patch_of_object)
DROP_FINALIZER = Write("finalizer-removing PATCH", "kubernetes", patch_of_object)
STATUS = Write("status PATCH", "kubernetes", patch_of_status)
POST = Write("Grafana POST", "grafana", requests_of("POST", "/api/datasources"))
PUT = Write("Grafana PUT", "grafana", requests_of("PUT", "/api/datasources"))
DELETE = Write("Grafana DELETE", "grafana", requests_of("DELETE", "/api/datasources"))


class World:
    """A sandbox whose operator reaches both sides through proxies."""

    def __init__(self, sandbox: Sandbox, start_proxy: StartProxy, echo: EchoServer) -> None:
        self.sandbox = sandbox
        self.uid = sandbox.uid(NAME)
        self._kubernetes = ProxiedKubernetes(sandbox, start_proxy)
        self._echo = echo
        self.operator = self._kubernetes.make_operator()
        self._secret: dict[str, str | bytes] = {}
        self.set_secret(old="the-old-secret-value", new="the-new-secret-value")

    # --- what a user does

    def set_secret(self, **values: str) -> None:
        self._secret |= values
        self.sandbox.apply_secret("auth", self._secret)

    def create(self) -> None:
        self.sandbox.apply(NAME, self._spec("old"))

    def update(self) -> None:
        self.sandbox.apply(NAME, self._spec("new"))

    def delete(self) -> None:
        self.sandbox.delete(NAME)

    # --- crashes

    def arm(self, write: Write, when: When) -> Fault:
        proxy = self._proxy(write)
        add = proxy.kill_before if when == "before" else proxy.kill_after
        return add(write.matching, lambda: self.operator.pid)

    def wait_for_crash(self, fault: Fault) -> None:
        """Until the operator is dead, and by that very write."""
        assert self.operator.process.wait_exit(SECONDS) == SIGKILL
        assert fault.hits == 1

    # --- what must hold in the end

    def expect(self, which: Literal["old", "new"]) -> None:
        """One data source, equal to the spec, and what status says of it is true."""
        raw = self.sandbox.wait_ready(NAME)
        spec = self._spec(which)
        (listed,) = self.sandbox.all_in_grafana()
        held = self.sandbox.in_grafana(self.uid)
        assert held is not None
        assert listed["uid"] == self.uid
        assert {key: held[key] for key in ("name", "type", "url")} == {
            "name": NAME,
            "type": spec["type"],
            "url": spec["url"],
        }
        mark = f"owner-{self.sandbox.namespace}/{self.sandbox.namespace}/{NAME}"
        assert held["jsonData"] == {**spec["jsonData"], "gdso.dev/owner": mark}
        assert held["secureJsonFields"] == {"httpHeaderValue1": True}
        assert self.secret_at_back_end() == self._secret[which]
        assert raw["metadata"]["finalizers"] == ["gdso.dev/finalizer"]
        self.sandbox.wait(
            NAME, lambda raw: _recorded(raw) == (held["id"], held["version"]), "facts"
        )

    def expect_gone(self) -> None:
        self.sandbox.wait_gone(NAME)
        assert self.sandbox.all_in_grafana() == []

    def secret_at_back_end(self) -> str | None:
        """What Grafana sends when somebody queries through it."""
        self.sandbox.grafana.get(f"datasources/proxy/uid/{self.uid}/api/v1/query?query=up")
        return self._echo.last_header("X-Token")

    def _proxy(self, write: Write) -> FaultProxy:
        return self.sandbox.proxy if write.side == "grafana" else self._kubernetes.proxy

    def _spec(self, which: Literal["old", "new"]) -> Json:
        return {
            "type": "prometheus",
            "url": f"{self._echo.url}/{which}",
            "jsonData": {"httpHeaderName1": "X-Token", "customQueryParameters": which},
            "secureJsonData": {
                "httpHeaderValue1": {"secretKeyRef": {"name": "auth", "key": which}}
            },
        }


def _recorded(raw: Json | None) -> tuple[int, int] | None:
    """Id and version that status remembers."""
    if raw is None:
        return None
    (instance,) = raw["status"]["instances"]
    return instance["id"], instance["version"]


@dataclass(frozen=True)
class Operation:
    """What the user does, what must have been before, and what must come of it."""

    name: str
    prepare: Callable[[World], None]
    act: Callable[[World], None]
    expect: Callable[[World], None]

    def __str__(self) -> str:
        return self.name


def _nothing(_: World) -> None:
    """Nothing was there before."""


def _created(world: World) -> None:
    world.create()
    world.sandbox.wait_ready(NAME)


CREATE = Operation("create", _nothing, World.create, lambda world: world.expect("old"))
UPDATE = Operation("update", _created, World.update, lambda world: world.expect("new"))
REMOVE = Operation("delete", _created, World.delete, World.expect_gone)

WRITES = [
    (CREATE, SET_FINALIZER),
    (CREATE, POST),
    (CREATE, STATUS),
    (UPDATE, PUT),
    (UPDATE, STATUS),
    (REMOVE, DELETE),
    (REMOVE, DROP_FINALIZER),
]


@pytest.fixture
def world(sandbox: Sandbox, fault_proxy_to: StartProxy, echo: EchoServer) -> World:
    return World(sandbox, fault_proxy_to, echo)


def _crash(world: World, operation: Operation, write: Write, when: When) -> None:
    world.operator.start()
    operation.prepare(world)
    fault = world.arm(write, when)
    operation.act(world)
    world.wait_for_crash(fault)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("operation", "write"), WRITES, ids=str)
def test_a_crash_at_any_write_is_made_good_by_the_next_start(
    world: World, operation: Operation, write: Write, when: When
) -> None:
    _crash(world, operation, write, when)
    world.operator.start()
    operation.expect(world)


@pytest.mark.parametrize(
    ("operation", "write", "when"),
    [
        (CREATE, SET_FINALIZER, "before"),
        (CREATE, POST, "before"),
        (CREATE, STATUS, "before"),
        (UPDATE, PUT, "after"),
        (REMOVE, DELETE, "before"),
        (REMOVE, DROP_FINALIZER, "before"),
    ],
    ids=str,
)
def test_a_second_crash_at_the_same_write_during_the_restart_is_made_good_too(
    world: World, operation: Operation, write: Write, when: When
) -> None:
    _crash(world, operation, write, when)
    again = world.arm(write, when)
    world.operator.process.start()  # it may be dead before it is ready
    world.wait_for_crash(again)
    world.operator.start()
    operation.expect(world)


def test_a_crash_of_the_repair_after_a_crash_of_the_create_is_made_good_too(world: World) -> None:
    _crash(world, CREATE, POST, "after")
    repair = world.arm(PUT, "after")
    world.operator.process.start()
    world.wait_for_crash(repair)
    world.operator.start()
    world.expect("old")


@pytest.mark.parametrize("write", [POST, STATUS], ids=str)
def test_a_secret_that_changed_while_the_crashed_operator_was_away_is_sent(
    world: World, write: Write
) -> None:
    _crash(world, CREATE, write, "after")
    world.set_secret(old="changed-while-away")
    world.operator.start()
    eventually(
        world.secret_at_back_end,
        lambda secret: secret == "changed-while-away",
        SECONDS,
        "the back end to receive the new value",
    )
    world.expect("old")


def test_a_resource_deleted_while_the_crashed_operator_was_away_leaves_nothing(
    world: World,
) -> None:
    _crash(world, CREATE, POST, "after")
    world.delete()
    world.operator.start()
    world.expect_gone()


def test_a_crash_after_the_finalizer_lets_a_deleted_resource_go(world: World) -> None:
    _crash(world, CREATE, SET_FINALIZER, "after")
    world.delete()
    eventually(
        lambda: world.sandbox.get(NAME),
        lambda raw: raw is not None and "deletionTimestamp" in raw["metadata"],
        SECONDS,
        "the finalizer to hold the resource",
    )
    world.operator.start()
    world.expect_gone()
