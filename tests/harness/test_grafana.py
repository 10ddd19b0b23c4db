"""Every Grafana of a run, server or double, is the version it says and hands out working tokens."""

import secrets

import httpx
import pytest

from tests.conftest import StartGrafana
from tests.servers.echo import EchoServer
from tests.servers.grafana import Grafana
from tests.servers.grafana_provisioning import PROVISIONED_UID
from tests.servers.grafana_tokens import NoTokensError

SOURCE = {"name": "A", "uid": "a", "type": "loki", "access": "proxy", "url": "http://127.0.0.1:1"}


def client_of(grafana: Grafana, role: str = "Admin", org_id: int = 1) -> httpx.Client:
    try:
        token = grafana.create_token(role, org_id)
    except NoTokensError as error:
        pytest.skip(str(error))
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=grafana.url, headers=headers, timeout=30, trust_env=False)


def test_is_the_version_that_it_is_said_to_be(contract_grafana: Grafana) -> None:
    health = httpx.get(f"{contract_grafana.url}/api/health", trust_env=False).json()
    assert (health["database"], health["version"]) == ("ok", contract_grafana.version)


def test_an_admin_token_may_write_and_a_viewer_token_may_not(contract_grafana: Grafana) -> None:
    with client_of(contract_grafana, "Viewer") as viewer:
        assert viewer.post("/api/datasources", json=SOURCE).status_code == 403
    with client_of(contract_grafana) as admin:
        created = admin.post("/api/datasources", json=SOURCE)
        assert created.status_code == 200, created.text
        assert admin.delete("/api/datasources/uid/a").status_code == 200
        assert admin.get("/api/org").json()["id"] == 1


def test_tokens_are_made_by_every_version(every_grafana: Grafana) -> None:
    with client_of(every_grafana) as admin:
        assert admin.get("/api/org").json()["id"] == 1


def make_organization(grafana: Grafana) -> int:
    made = httpx.post(
        f"{grafana.url}/api/orgs",
        json={"name": secrets.token_hex(8)},
        auth=grafana.admin,
        trust_env=False,
    )
    return int(made.json()["orgId"])


def test_a_token_is_of_the_organization_that_was_asked_for(contract_grafana: Grafana) -> None:
    org_id = make_organization(contract_grafana)
    with client_of(contract_grafana, org_id=org_id) as admin:
        assert admin.get("/api/org").json()["id"] == org_id


def test_a_provisioned_data_source_is_read_only(fresh_grafana: StartGrafana) -> None:
    grafana = fresh_grafana(provisioned=True)
    with client_of(grafana) as admin:
        (found,) = admin.get("/api/datasources").json()
    assert (found["uid"], found["readOnly"]) == (PROVISIONED_UID, True)


def test_settings_reach_the_server(fresh_grafana: StartGrafana) -> None:
    grafana = fresh_grafana(settings={"quota": {"enabled": "true", "org_data_source": "0"}})
    with client_of(grafana) as admin:
        refused = admin.post("/api/datasources", json=SOURCE)
    assert (refused.status_code, refused.json()["message"]) == (403, "data_source Quota reached")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_comes_back_on_its_port_with_its_data(
    contract_grafana: Grafana, fresh_grafana: StartGrafana, end: str
) -> None:
    grafana = fresh_grafana(like=contract_grafana)
    org_id = make_organization(grafana)
    with client_of(grafana, org_id=org_id) as admin:
        admin.post("/api/datasources", json={**SOURCE, "uid": "gone"}).raise_for_status()
        admin.delete("/api/datasources/uid/gone").raise_for_status()
        made = admin.post("/api/datasources", json={**SOURCE, "isDefault": True}).json()
        held = admin.get("/api/datasources/uid/a").json()
        getattr(grafana, end)()
        with pytest.raises(httpx.TransportError):
            admin.get("/api/datasources/uid/a")
        grafana.start()
        assert admin.get("/api/datasources/uid/a").json() == held
        assert admin.get("/api/datasources").json()[0]["id"] == made["id"]
        other = admin.post("/api/datasources", json={**SOURCE, "uid": "b", "name": "B"}).json()
        assert other["id"] > made["id"]


def test_a_back_end_shows_which_secret_a_data_source_really_sends(
    grafana: Grafana, echo: EchoServer
) -> None:
    source = {
        **SOURCE,
        "type": "prometheus",
        "url": echo.url,
        "jsonData": {"httpHeaderName1": "X-Secret"},
        "secureJsonData": {"httpHeaderValue1": "from the secret"},
    }
    with client_of(grafana) as admin:
        admin.post("/api/datasources", json=source).raise_for_status()
        admin.get("/api/datasources/proxy/uid/a/api/v1/labels")
        admin.delete("/api/datasources/uid/a").raise_for_status()
    assert echo.last_header("X-Secret") == "from the secret"
