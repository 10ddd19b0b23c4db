"""What a resource makes is what Grafana makes of the same definition in a provisioning file."""

import json
from collections.abc import Iterator, Mapping

import pytest

from tests.integration.provisioned_definitions import DEFINITIONS, QUERIED
from tests.integration.sandbox import Json, Sandbox
from tests.integration.specs import secret_key
from tests.servers.certificates import MutualTls
from tests.servers.echo import EchoServer
from tests.servers.fault_proxy import FaultProxy
from tests.servers.grafana import Grafana, GrafanaServer
from tests.servers.grafana_doubles import GrafanaDoubleServer
from tests.servers.target import Target

SECONDS = 60.0
NOT_COMPARED = ("id", "version", "readOnly", "orgId", "accessControl")
OF_THE_ORGANIZATION = ("x-grafana-id", "x-grafana-org-id")
NOTHING = "apiVersion: 1\n"

Provisioning = GrafanaServer | GrafanaDoubleServer


@pytest.fixture
def definitions(echo: EchoServer) -> Iterator[dict[str, Json]]:
    """With the addresses of back ends; the other one is TLS, and wants a client certificate."""
    tls = MutualTls()
    values = {
        "%ECHO%": echo.url,
        "%CA%": tls.ca.decode(),
        "%CERTIFICATE%": tls.client.certificate.decode(),
        "%KEY%": tls.client.key.decode(),
    }
    with FaultProxy(echo.url, tls=tls.server_context()) as proxy:
        values["%TLS%"] = proxy.url
        text = json.dumps(DEFINITIONS)
        for name, value in values.items():
            text = text.replace(name, json.dumps(value)[1:-1])
        yield json.loads(text)


@pytest.fixture
def provisioned(every_grafana: Grafana, definitions: dict[str, Json]) -> Iterator[Target]:
    """An organization with what the file says."""
    if not isinstance(every_grafana, Provisioning):
        pytest.skip("needs a Grafana whose files it can write, and an existing one was given")
    target = Target(every_grafana)
    declared = [
        {"name": uid, "uid": uid, "orgId": target.org_id, "access": "proxy", **definition}
        for uid, definition in definitions.items()
    ]
    # JSON is YAML, and what looks like a variable would be replaced.
    content = json.dumps({"apiVersion": 1, "datasources": declared}).replace("$", "$$")
    try:
        every_grafana.provision_datasources(content)
        every_grafana.reload_datasources()
        yield target
    finally:
        every_grafana.provision_datasources(NOTHING)
        every_grafana.reload_datasources()
        target.close()


def apply(sandbox: Sandbox, uid: str, definition: Json) -> None:
    spec = {**definition, "uid": uid, "healthCheck": {"enabled": False}}
    if secret := spec.get("secureJsonData"):
        sandbox.apply_secret(uid, secret)
        spec["secureJsonData"] = {key: secret_key(uid, key) for key in secret}
    sandbox.apply(uid, spec)


def held(target: Target, uid: str) -> Json:
    found = target.held(uid)
    found["jsonData"].pop("gdso.dev/owner", None)
    return {key: value for key, value in found.items() if key not in NOT_COMPARED}


def sent(target: Target, uid: str, echo: EchoServer) -> Json:
    """Headers that a back end receives on a query."""
    echo.forget()
    target.query(uid)
    return {k: v for k, v in echo.received[-1].headers.items() if k not in OF_THE_ORGANIZATION}


def differences(pairs: Mapping[str, tuple[Json, Json]]) -> dict[str, object]:
    """What is from the resource and from the file, where they differ."""
    found = {
        f"{uid}: {key}": (one.get(key), other.get(key))
        for uid, (one, other) in pairs.items()
        for key in one.keys() | other.keys()
    }
    return {place: both for place, both in found.items() if both[0] != both[1]}


def test_resources_and_provisioning_files_make_the_same(
    sandbox_on_every_grafana: Sandbox,
    provisioned: Target,
    definitions: dict[str, Json],
    echo: EchoServer,
) -> None:
    sandbox = sandbox_on_every_grafana
    sandbox.start_operator()
    for uid, definition in definitions.items():
        apply(sandbox, uid, definition)
    for uid in definitions:
        sandbox.wait_ready(uid, SECONDS)

    assert len(definitions) >= 20
    pairs = {uid: (held(sandbox.target, uid), held(provisioned, uid)) for uid in definitions}
    assert differences(pairs) == {}

    queried = [
        uid
        for uid, definition in definitions.items()
        if definition["type"] in QUERIED and definition.get("access") != "direct"
    ]
    assert len(queried) >= 10
    headers = {
        uid: (sent(sandbox.target, uid, echo), sent(provisioned, uid, echo)) for uid in queried
    }
    assert differences(headers) == {}
    # And they are what the definitions say, not equally nothing.
    assert headers["prometheus-header"][0]["authorization"] == "Bearer bearer-of-prometheus"
    assert headers["loki-tenants"][0]["x-scope-orgid"] == "tenant-a|tenant-b"
    assert headers["loki-basic-auth"][0]["authorization"].startswith("Basic ")
