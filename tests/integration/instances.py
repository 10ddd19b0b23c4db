"""What tests of GrafanaInstances share: standing sandboxes without a default instance, looks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sandbox import INSTANCE, NO_DEFAULT_INSTANCE, Json, Sandbox
from tests.integration.specs import LOKI
from tests.integration.standing import open_sandbox
from tests.servers.grafana import Grafana
from tests.servers.kubernetes import KubernetesServer
from tests.servers.target import Target


def on_instance(name: str, namespace: str | None = None, **spec: object) -> Json:
    """A data source that names its instance."""
    reference = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {**LOKI, "instanceRef": reference, **spec}


def on_instances(namespace: str | None = None, /, **labels: str) -> Json:
    """A data source on all instances with these labels."""
    home = {} if namespace is None else {"namespace": namespace}
    return {**LOKI, "instanceSelector": {**home, "matchLabels": labels}}


def states_of(raw: Json) -> dict[str, tuple[str, str]]:
    """Instance -> what status says of it: synced and reason."""
    return {
        one["name"]: (one["synced"], one["reason"]) for one in raw["status"].get("instances", [])
    }


def names_in(target: Target) -> set[str]:
    """Display names of all that an organization holds."""
    return {held["name"] for held in target.all_in_grafana()}


def add_instance(
    sandbox: Sandbox,
    name: str,
    grafana: Grafana | None = None,
    *,
    namespace: str | None = None,
    **options: Any,
) -> Target:
    """An organization of its own and a GrafanaInstance for it, which is ready."""
    target = sandbox.add_grafana(grafana)
    sandbox.apply_instance(name, target, namespace=namespace, **options)
    sandbox.wait_instance_ready(name, namespace=namespace)
    return target


def wait_instance_reason(
    sandbox: Sandbox, name: str, reason: str, message: str = "", namespace: str | None = None
) -> Json:
    return sandbox.wait_for_reason(
        name, reason, message=message, kind=INSTANCE, namespace=namespace
    )


@contextmanager
def standing_without_default(
    kubernetes: KubernetesServer, grafana: Grafana, directory: Path
) -> Iterator[Sandbox]:
    """A running operator that knows nothing but GrafanaInstances."""
    with open_sandbox(kubernetes, grafana, directory) as sandbox:
        sandbox.start_operator(**NO_DEFAULT_INSTANCE)
        yield sandbox


@pytest.fixture(scope="module", name="standing")
def standing_instances(
    kubernetes_with_crds: KubernetesServer,
    grafana: Grafana,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sandbox]:
    """In place of that of `standing`, for the tests of one module."""
    directory = tmp_path_factory.mktemp("standing")
    with standing_without_default(kubernetes_with_crds, grafana, directory) as sandbox:
        yield sandbox
