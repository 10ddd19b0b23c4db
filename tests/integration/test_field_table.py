"""Every field, set, changed and unset, in spec and in Grafana, ends as in a new resource."""

import base64
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import httpx
import pytest

from tests.integration.field_cells import (
    CONFIG_MAPS,
    QUIET,
    REFERRED,
    SECRETS,
    Cell,
    Field,
    cells,
    fill,
)
from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.specs import LOKI
from tests.servers.echo import EchoServer
from tests.servers.polling import eventually
from tests.servers.target import Target

SECONDS = 60.0
RESYNCS = 3
NOT_COMPARED = ("id", "version", "orgId")
HELD = "Grafana holds this state"


@dataclass(frozen=True)
class Made:
    """A resource and where it lives."""

    name: str
    namespace: str
    target: Target

    @property
    def uid(self) -> str:
        return f"{self.namespace}_{self.name}"

    def held(self) -> Json:
        """What Grafana holds, whatever the name."""
        text = json.dumps(self.target.held(self.uid)).replace(self.name, "*")
        held = cast("Json", json.loads(text))
        return {key: value for key, value in held.items() if key not in NOT_COMPARED}


@dataclass(frozen=True, eq=False)
class Row:
    """A cell, its resource, and the new one that it is to end like."""

    cell: Cell
    made: Made
    new: Made

    @property
    def target(self) -> Target:
        return self.made.target

    def writes(self, since: int) -> int:
        """Of the operator, those aside that met a locked SQLite."""
        uid, id_ = self.made.uid, self.target.held(self.made.uid)["id"]
        paths = {f"/api/datasources/uid/{uid}", f"/api/datasources/{id_}"}  # by id on old servers
        found = [r for r in self.target.proxy.since(since) if r.status != 500]
        return sum(r.method == "POST" or (r.method == "PUT" and r.path in paths) for r in found)


class Table:
    """All cells on one Grafana."""

    def __init__(self, sandbox: Sandbox, echo: EchoServer) -> None:
        self.sandbox = sandbox
        self._echo = echo
        self._is_old = int(sandbox.target.server.version.split(".")[0]) < 9
        self._new: dict[str, tuple[Made, Json]] = {}
        self._held: dict[str, Json] = {}
        self.rows = [
            Row(cell, self._make(f"cell-{number:03}", cell.field), self._make_new(cell))
            for number, cell in enumerate(cells())
        ]

    def _make_new(self, cell: Cell) -> Made:
        """The same for cells that end with the same spec."""
        key = json.dumps([cell.after, cell.field.has_own_organization])
        if key not in self._new:
            made = self._make(f"new-{len(self._new):03}", cell.field)
            self._new[key] = made, cell.after
        return self._new[key][0]

    def _make(self, name: str, field: Field) -> Made:
        sandbox = self.sandbox
        if not field.has_own_organization:
            return Made(name, sandbox.namespace, sandbox.target)
        target = sandbox.add_grafana()
        target.make_by_hand("first")
        sandbox.apply_instance(name, target)
        return Made(name, sandbox.namespace, target)

    # --- what is done

    def apply(self, made: Made, template: Json) -> None:
        spec = fill(template, made.name, self._echo.url)
        if made.target is not self.sandbox.target:
            spec["instanceRef"] = {"name": made.name}
        self.sandbox.apply(made.name, spec)

    def apply_new(self) -> None:
        for made, template in self._new.values():
            self.apply(made, {**template, "resyncInterval": "0s"})

    def edit(self, made: Made, template: Json) -> None:
        """As often as it takes: the operator writes, too, and SQLite locks."""
        fields = fill(template, made.name, self._echo.url)
        eventually(
            lambda: made.target.edit(made.uid, **fields),
            lambda _: True,
            SECONDS,
            f"an edit of {made.name}",
            retry_on=(httpx.HTTPStatusError,),
        )

    def wait_ready(self) -> None:
        for made in [*(row.made for row in self.rows), *(made for made, _ in self._new.values())]:
            self.sandbox.wait_ready(made.name, SECONDS)

    def wait_for_resyncs(self, number: int) -> None:
        marks = {row.target: row.target.proxy.mark() for row in self.rows}

        def waiting() -> list[str]:
            looks = Counter(r.path for target, mark in marks.items() for r in target.requests(mark))
            paths = {row: f"/api/datasources/uid/{row.made.uid}" for row in self.rows}
            return [row.cell.name for row, path in paths.items() if looks[path] < number]

        eventually(waiting, lambda left: not left, SECONDS, f"{number} resyncs", every_seconds=0.5)

    def wait_until_equal(self) -> None:
        left = list(self.rows)

        def unequal() -> dict[str, Json]:
            nonlocal left
            found = self.differences(left)
            left = [row for row in left if row.cell.name in found]
            return found

        eventually(
            unequal, lambda found: not found, SECONDS, "all cells to be equal", every_seconds=0.5
        )

    # --- what came of it

    def differences(self, rows: Iterable[Row]) -> dict[str, Json]:
        """Cell -> field -> what Grafana holds, and what it holds of the new resource."""
        found = {row.cell.name: self._differences_of(row) for row in rows}
        return {name: differences for name, differences in found.items() if differences}

    def wrong_messages(self) -> dict[str, str]:
        """Cell -> message that does not tell exactly what no update clears."""
        messages = [(row, self._message(row.made)) for row in self.rows]
        return {
            row.cell.name: message
            for row, message in messages
            if message != self._expected_message(row)
        }

    def _expected_message(self, row: Row) -> str:
        field = row.cell.left_over(is_old=self._is_old)
        is_told = field and row.cell.field.is_told
        return f"{HELD}; except that no update clears the old {field}" if is_told else HELD

    def _message(self, made: Made) -> str:
        raw = self.sandbox.get(made.name)
        assert raw is not None
        return str(ready_of(raw)["message"])

    def _differences_of(self, row: Row) -> Json:
        one, other = row.made.held(), self._held_of_new(row.new)
        found: Json = {
            key: (one.get(key), other.get(key))
            for key in one.keys() | other.keys()
            if one.get(key) != other.get(key)
        }
        if self._is_old:
            found.pop("secureJsonFields", None)  # lists what was blanked
        if left := row.cell.left_over(is_old=self._is_old):
            return found if found.pop(left, None) else {left: "is expected to differ"}
        if row.cell.field.reaches_back_end and not found:
            return self._differences_of_headers(row)
        return found

    def _held_of_new(self, new: Made) -> Json:
        """Nothing changes it any more."""
        if new.name not in self._held:
            self._held[new.name] = new.held()
        return self._held[new.name]

    def _differences_of_headers(self, row: Row) -> Json:
        one, other = self._received_from(row.made), self._received_from(row.new)
        return {} if one == other else {"headers": (one, other)}

    def _received_from(self, made: Made) -> tuple[str, str]:
        made.target.query(made.uid)
        found = [r for r in self._echo.received if r.path.startswith(f"/{made.name}/")]
        headers = found[-1].headers
        authorization = headers.get("authorization", "").removeprefix("Basic ")
        return headers.get("x-token", ""), base64.b64decode(authorization).decode()


@pytest.fixture
def table(sandbox_on_every_grafana: Sandbox, echo: EchoServer) -> Table:
    """Applied and held by Grafana, but for what happens in the cells."""
    sandbox = sandbox_on_every_grafana
    # The first data source of an organization is forced to be its default.
    sandbox.target.make_by_hand("first")
    for name, values in SECRETS.items():
        sandbox.apply_secret(name, values)
    for name, values in CONFIG_MAPS.items():
        sandbox.apply_config_map(name, values)
    for name in REFERRED:
        sandbox.apply(name, {**QUIET, **LOKI})
    table = Table(sandbox, echo)
    sandbox.start_operator(GDSO_RESYNC_INTERVAL="3s")
    for row in table.rows:
        table.apply(row.made, row.cell.before)
    table.apply_new()
    table.wait_ready()
    return table


def test_every_cell_ends_like_a_new_resource_with_the_same_spec(table: Table) -> None:
    marks = {row.target: row.target.proxy.mark() for row in table.rows}
    for row in table.rows:
        if row.cell.edit is None:
            table.apply(row.made, row.cell.after)
        else:
            table.edit(row.made, row.cell.edit)
    table.wait_ready()
    table.wait_until_equal()

    # No field is written again and again, and nothing of it is told again and again.
    kube = table.sandbox.audit.mark()
    table.wait_for_resyncs(RESYNCS)
    writes = {row.cell.name: row.writes(marks[row.target]) for row in table.rows}
    assert {name: count for name, count in writes.items() if count > 1} == {}
    assert table.sandbox.kubernetes_writes(kube) == []
    assert table.differences(table.rows) == {}
    assert table.wrong_messages() == {}
