"""A data source from a file is handed over to a resource, by the steps of docs/migration.md."""

import base64
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import StartGrafana
from tests.integration.places import OWNER_KEY
from tests.integration.sandbox import Json, Sandbox, ready_of
from tests.integration.standing import open_sandbox
from tests.servers.echo import EchoServer
from tests.servers.grafana import Grafana, GrafanaServer
from tests.servers.grafana_doubles import GrafanaDoubleServer
from tests.servers.kubernetes import KubernetesServer
from tests.servers.polling import eventually

STEPS = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
CACHE_SECONDS = 5.0
"""Grafana keeps decrypted secrets for so long: a write shows at the back end within it."""


@dataclass
class Migration:
    """Whoever follows the document, one part after the other."""

    sandbox: Sandbox
    server: GrafanaServer | GrafanaDoubleServer
    back_end: EchoServer

    def follow(self, heading: str) -> None:
        """Do what the part of the document with this heading says."""
        part = STEPS.split(f"\n## {heading}")[1].split("\n## ")[0]
        manifest = ""
        for language, block in re.findall(r"```(\w+)\n(.*?)```", part, re.DOTALL):
            text = block.replace("http://prometheus.monitoring:9090", self.back_end.url)
            if text.startswith("# provisioning/"):
                self.server.provision_datasources(text)
            elif language == "yaml":
                manifest = text
            else:
                for line in text.splitlines():
                    self._run(shlex.split(line), manifest)

    def _run(self, command: list[str], manifest: str) -> None:
        match command:
            case ["kubectl", "apply", "-f", "prometheus.yaml"]:
                self.sandbox.kubectl("apply", "-f", "-", input=manifest)
            case ["kubectl", *arguments]:
                self.sandbox.kubectl(*arguments)
            case ["curl", "-X", "POST", *_]:
                assert command[-1] == "$GRAFANA/api/admin/provisioning/datasources/reload"
                self.server.reload_datasources()
            case ["curl", "-s", *_]:
                pass  # only for somebody to look at
            case _:
                raise AssertionError(f"nobody knows how to run {command}")

    def receives(self, password: str) -> None:
        """The back end is sent this password, at the latest when Grafana's cache is over."""
        sent = f"Basic {base64.b64encode(f'grafana:{password}'.encode()).decode()}"

        def ask() -> str | None:
            self.sandbox.query("prometheus")
            return self.back_end.last_header("Authorization")

        eventually(ask, lambda seen: seen == sent, CACHE_SECONDS + 10, "the right password")

    def identity(self) -> Json:
        held = self.sandbox.held("prometheus")
        return {key: held[key] for key in ("id", "uid", "name", "isDefault")}


@pytest.fixture
def migration(
    kubernetes_with_crds: KubernetesServer,
    every_grafana: Grafana,
    fresh_grafana: StartGrafana,
    echo: EchoServer,
    tmp_path: Path,
) -> Iterator[Migration]:
    """In the organization that files are about unless they say otherwise."""
    server = fresh_grafana(like=every_grafana)
    with open_sandbox(kubernetes_with_crds, server, tmp_path, org_id=1) as sandbox:
        # 9.4 can lose the very first key that it encrypts secrets with, if that one is made while
        # others write, too; a server with a history has one.
        sandbox.target.make_by_hand("earlier", secureJsonData={"password": "of long ago"})
        sandbox.start_operator()
        yield Migration(sandbox, server, echo)
        sandbox.check_everywhere()


def test_the_documented_steps_hand_over_a_data_source_that_keeps_working(
    migration: Migration,
) -> None:
    sandbox, server = migration.sandbox, migration.server
    sandbox.secret_values.add("the-password")
    migration.follow("1. What there is")
    server.reload_datasources()
    before = migration.identity()
    assert sandbox.held("prometheus")["readOnly"] is True
    migration.receives("the-password")

    migration.follow("2. The same as a resource")
    told = sandbox.get("prometheus")
    assert told is not None
    assert "editable: true" in ready_of(told)["message"]
    migration.follow("3. Let go of it in the file")
    migration.follow("4. It is taken over")
    sandbox.wait_for_event("prometheus", "Adopted")
    assert sandbox.held("prometheus")["readOnly"] is False
    migration.receives("the-password")
    # The file still has it: it is set back, and corrected.
    server.reload_datasources()
    sandbox.request_reconcile("prometheus")
    sandbox.wait_ready("prometheus")
    assert OWNER_KEY in sandbox.held("prometheus")["jsonData"]
    migration.follow("5. Take it out of the file")

    server.stop()
    server.start()
    eventually(
        lambda: ready_of(sandbox.request_reconcile("prometheus"))["reason"],
        lambda reason: reason == "Synced",
        30,
        "the resource to be in sync after the restart",
    )
    assert migration.identity() == before
    migration.receives("the-password")
    sandbox.apply_secret("prometheus-datasource", {"password": "another-password"})
    migration.receives("another-password")
    assert migration.identity() == before
