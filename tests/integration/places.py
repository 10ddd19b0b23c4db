"""Organizations of Grafana for tests that share one operator: each behind a GrafanaInstance."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sandbox import NO_DEFAULT_INSTANCE, Json, Sandbox
from tests.integration.specs import LOKI
from tests.integration.standing import open_sandbox
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.target import Target

OWNER_KEY = "gdso.dev/owner"


@dataclass(frozen=True)
class Place:
    """One organization, and the GrafanaInstance for it in the sandbox's own namespace."""

    sandbox: Sandbox
    instance: str
    target: Target

    def apply(self, resource: str, /, *, namespace: str | None = None, **spec: object) -> Json:
        """A Loki that is to live here, with `spec` over it."""
        reference = {"name": self.instance}
        if namespace is not None:
            reference["namespace"] = self.sandbox.namespace
        merged = {**LOKI, "instanceRef": reference, **spec}
        return self.sandbox.apply(resource, merged, namespace=namespace)

    def held(self, name: str) -> Json:
        """What Grafana holds under the default uid of a resource."""
        return self.target.held(self.sandbox.uid(name))

    def mark_of(self, name: str) -> str:
        """The owner mark that a resource leaves."""
        namespace = self.sandbox.namespace
        return f"owner-{namespace}/{namespace}/{name}"


def oldest_first(*raws: Json) -> list[str]:
    """Names of resources of one namespace, in the order in which they come first."""

    def seniority(raw: Json) -> tuple[str, str]:
        return raw["metadata"]["creationTimestamp"], raw["metadata"]["name"]

    return [raw["metadata"]["name"] for raw in sorted(raws, key=seniority)]


@contextmanager
def open_places(
    kubernetes: KubernetesServer,
    grafana: Grafana,
    directory: Path,
    *,
    namespaces: int = 1,
    **settings: str | None,
) -> Iterator[Sandbox]:
    """A sandbox whose operator knows no Grafana but those of GrafanaInstances."""
    with open_sandbox(kubernetes, grafana, directory) as sandbox:
        for _ in range(namespaces - 1):
            sandbox.add_namespace()
        sandbox.start_operator(**{**NO_DEFAULT_INSTANCE, **settings})
        yield sandbox


def make_place(sandbox: Sandbox, grafana: Grafana, **spec: Any) -> Place:
    """In a new organization; `spec` of the GrafanaInstance over what is known of it."""
    target = sandbox.add_grafana(grafana)
    name = f"place-{secrets.token_hex(4)}"
    sandbox.apply_instance(name, target, **spec)
    return Place(sandbox, name, target)


@pytest.fixture(scope="module", name="places")
def standing_places(
    kubernetes_with_crds: KubernetesServer,
    grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sandbox]:
    """One operator for all tests of a module."""
    directory = tmp_path_factory.mktemp("places")
    with open_places(kubernetes_with_crds, grafana, directory, namespaces=2) as sandbox:
        yield sandbox


@pytest.fixture
def place(places: Sandbox, grafana: Grafana) -> Iterator[Place]:
    """A new organization of the newest Grafana."""
    yield make_place(places, grafana)
    places.check_everywhere()


@pytest.fixture
def place_on_every_grafana(places: Sandbox, every_grafana: Grafana) -> Iterator[Place]:
    """A new organization, in turn on every version."""
    yield make_place(places, every_grafana)
    places.check_everywhere()
