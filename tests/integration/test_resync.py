"""What a resync costs: one list per instance, one look at each data source, and no write."""

import itertools
from collections import Counter

from tests.conftest import StartGrafana
from tests.integration.conftest import MakeSandbox
from tests.integration.sandbox import Json, Sandbox
from tests.integration.specs import LOKI
from tests.servers.faults import ProxiedRequest
from tests.servers.grafana import Grafana
from tests.servers.polling import eventually

SECONDS = 60.0
RESOURCES = 60
INTERVAL = 4.0
SHORTEST = INTERVAL * 0.9
"""Resyncs come up to a tenth early, never late by themselves."""
LIST = "/api/datasources"
QUIET: Json = {"healthCheck": {"enabled": False}}
BY_LIST_ONLY: Json = {**QUIET, "resyncInterval": "0s"}


def lists_of(requests: list[ProxiedRequest]) -> list[ProxiedRequest]:
    return [r for r in requests if r.method == "GET" and r.path == LIST]


def wait_for_lists(sandbox: Sandbox, number: int) -> list[ProxiedRequest]:
    """Requests from now until that many lists have been made."""
    mark = sandbox.proxy.mark()

    def seen() -> list[ProxiedRequest]:
        return sandbox.target.requests(mark)

    def are_enough(found: list[ProxiedRequest]) -> bool:
        return len(lists_of(found)) >= number

    return eventually(seen, are_enough, SECONDS, f"{number} lists", every_seconds=0.2)


def test_a_resync_is_one_list_and_one_look_at_each_and_nothing_is_written(
    sandbox: Sandbox,
) -> None:
    sandbox.start_operator(GDSO_RESYNC_INTERVAL=f"{INTERVAL:g}s")
    looked, unlooked = [
        [f"{kind}-{number}" for number in range(RESOURCES // 2)] for kind in ("looked", "unlooked")
    ]
    for name in looked:
        sandbox.apply(name, {**LOKI, **QUIET})
    for name in unlooked:
        sandbox.apply(name, {**LOKI, **BY_LIST_ONLY})
    for name in [*looked, *unlooked]:
        sandbox.wait_ready(name)

    kube = sandbox.audit.mark()
    requests = wait_for_lists(sandbox, 3)
    assert {r.method for r in requests} == {"GET"}
    assert sandbox.kubernetes_writes(kube) == []
    lists = [r.time for r in lists_of(requests)]
    assert all(b - a >= SHORTEST for a, b in itertools.pairwise(lists))

    paths = Counter(r.path for r in requests)
    assert set(paths) == {LIST} | {f"{LIST}/uid/{sandbox.uid(name)}" for name in looked}
    looks = {path: [r.time for r in requests if r.path == path] for path in paths if path != LIST}
    for path, times in looks.items():
        assert all(b - a >= SHORTEST for a, b in itertools.pairwise(times)), path
    # Not all at once: each quarter of an interval has some.
    first = min(times[0] for times in looks.values())
    everyone = [time - first for times in looks.values() for time in times[:1]]
    quarters = Counter(min(int(4 * late / INTERVAL), 3) for late in everyone)
    assert len(quarters) == 4, quarters


def test_one_edit_among_many_costs_one_look_and_one_write(sandbox: Sandbox) -> None:
    sandbox.start_operator(GDSO_RESYNC_INTERVAL="1s")
    names = [f"one-of-{number}" for number in range(20)]
    for name in names:
        sandbox.apply(name, {**LOKI, **BY_LIST_ONLY})
    for name in names:
        sandbox.wait_ready(name)
    uid, mark = sandbox.uid(names[7]), sandbox.proxy.mark()
    sandbox.target.edit(uid, url="http://by-hand:1")
    eventually(
        lambda: sandbox.held(uid)["url"], lambda url: url == LOKI["url"], SECONDS, "a correction"
    )
    wait_for_lists(sandbox, 2)
    others = [f"{r.method} {r.path}" for r in sandbox.target.requests(mark) if r.path != LIST]
    assert others == [f"GET {LIST}/uid/{uid}", f"PUT {LIST}/uid/{uid}"]


def test_a_restart_looks_once_at_each_and_writes_nothing(sandbox: Sandbox) -> None:
    names = [f"restarted-{number}" for number in range(10)]
    operator = sandbox.start_operator()
    for name in names:
        sandbox.apply(name, {**LOKI, **QUIET})
    for name in names:
        sandbox.wait_ready(name)
    mark, kube = sandbox.proxy.mark(), sandbox.audit.mark()
    operator.restart()
    wanted = {f"GET {LIST}/uid/{sandbox.uid(name)}" for name in names}
    eventually(
        lambda: set(sandbox.grafana_requests(mark)),
        lambda seen: seen >= wanted,
        SECONDS,
        "a look at each",
    )
    assert sorted(sandbox.grafana_requests(mark)) == sorted(wanted)
    assert sandbox.kubernetes_writes(kube) == []


def test_a_list_that_is_cut_makes_nothing_anew(
    make_sandbox: MakeSandbox, fresh_grafana: StartGrafana, every_grafana: Grafana
) -> None:
    """Absence from it proves nothing before a look."""
    limited = fresh_grafana(like=every_grafana, settings={"datasources": {"datasource_limit": "3"}})
    sandbox = make_sandbox(limited)
    sandbox.start_operator(GDSO_RESYNC_INTERVAL="1s")
    names = [f"cut-{number}" for number in range(7)]
    for name in names:
        sandbox.apply(name, {**LOKI, **BY_LIST_ONLY})
    for name in names:
        sandbox.wait_ready(name)
    assert len(sandbox.all_in_grafana()) == 3
    ids = {name: sandbox.held(sandbox.uid(name))["id"] for name in names}
    requests = wait_for_lists(sandbox, 3)
    assert {r.method for r in requests} == {"GET"}
    assert {name: sandbox.held(sandbox.uid(name))["id"] for name in names} == ids
    hidden = {r.path for r in requests} - {LIST}
    listed = {one["uid"] for one in sandbox.all_in_grafana()}
    assert hidden == {f"{LIST}/uid/{sandbox.uid(name)}" for name in names} - {
        f"{LIST}/uid/{uid}" for uid in listed
    }

    # One that is really gone is made anew, also where the list never showed it.
    gone = next(name for name in names if sandbox.uid(name) not in listed)
    mark = sandbox.proxy.mark()
    sandbox.target.delete_by_hand(sandbox.uid(gone))
    eventually(lambda: sandbox.in_grafana(sandbox.uid(gone)), bool, SECONDS, "a new one")
    wait_for_lists(sandbox, 1)
    assert sandbox.target.writes(mark) == [f"POST {LIST}"]
