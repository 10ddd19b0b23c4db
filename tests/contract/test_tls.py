"""TLS and headers on the wire, in front of every Grafana."""

from dataclasses import replace

import pytest
from pydantic import SecretStr

from grafana_datasource_operator.grafana import errors
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.connection import ConnectionSettings, Tls
from grafana_datasource_operator.grafana.credentials import Token
from tests.conftest import StartProxy
from tests.contract.clients import Organization
from tests.servers.certificates import CertificateAuthority, Issued
from tests.servers.fault_proxy import FaultProxy

AUTHORITY = CertificateAuthority("ours")
STRANGER = CertificateAuthority("stranger")
TRUSTING = Tls(ca_pem=AUTHORITY.pem)


def _with_client(tls: Tls, issued: Issued) -> Tls:
    return replace(
        tls, client_cert_pem=issued.certificate, client_key_pem=SecretStr(issued.key.decode())
    )


class Reached:
    """A Grafana behind TLS, and how it is asked."""

    def __init__(self, organization: Organization, token: Token, proxy: FaultProxy) -> None:
        self._organization = organization
        self._token = token
        self.proxy = proxy

    async def org_id(self, tls: Tls, *, url: str = "", **headers: str) -> int:
        settings = ConnectionSettings(
            url or self.proxy.url,
            self._organization.id,
            tls=tls,
            headers={key.replace("_", "-"): SecretStr(value) for key, value in headers.items()},
        )
        async with GrafanaClient(
            settings, self._token, name="contract", user_agent="gdso/contract"
        ) as client:
            return await client.get_org_id()


@pytest.fixture
def reached(organization: Organization, admin_token: Token, fault_proxy_to: StartProxy) -> Reached:
    proxy = fault_proxy_to(organization.grafana.url, tls=AUTHORITY.issue_server().server_context())
    return Reached(organization, admin_token, proxy)


@pytest.fixture
def mutual(organization: Organization, admin_token: Token, fault_proxy_to: StartProxy) -> Reached:
    """It serves only those whose certificate it knows."""
    context = AUTHORITY.issue_server().server_context(AUTHORITY.pem)
    return Reached(organization, admin_token, fault_proxy_to(organization.grafana.url, tls=context))


@pytest.mark.parametrize(
    "tls",
    [
        TRUSTING,
        Tls(ca_pem=STRANGER.pem + AUTHORITY.pem),
        Tls(insecure_skip_verify=True),
        Tls(ca_pem=STRANGER.pem, insecure_skip_verify=True),
    ],
)
async def test_a_server_that_is_trusted_is_asked(
    reached: Reached, organization: Organization, tls: Tls
) -> None:
    assert await reached.org_id(tls) == organization.id


@pytest.mark.parametrize("tls", [Tls(), Tls(ca_pem=STRANGER.pem)])
async def test_a_server_that_is_not_trusted_is_sent_nothing(reached: Reached, tls: Tls) -> None:
    with pytest.raises(errors.Unreachable, match="its TLS certificate is not trusted"):
        await reached.org_id(tls)
    assert reached.proxy.requests == []


async def test_a_certificate_of_another_host_is_not_accepted(
    organization: Organization, admin_token: Token, fault_proxy_to: StartProxy
) -> None:
    context = AUTHORITY.issue_client("not.a.server").server_context()
    proxy = fault_proxy_to(organization.grafana.url, tls=context)
    with pytest.raises(errors.Unreachable, match="not of this host"):
        await Reached(organization, admin_token, proxy).org_id(TRUSTING)
    assert proxy.requests == []


async def test_a_client_certificate_is_shown(mutual: Reached, organization: Organization) -> None:
    tls = _with_client(TRUSTING, AUTHORITY.issue_client("operator"))
    assert await mutual.org_id(tls) == organization.id


@pytest.mark.parametrize(
    "tls", [TRUSTING, _with_client(TRUSTING, STRANGER.issue_client("operator"))]
)
async def test_without_the_right_client_certificate_grafana_is_unreachable(
    mutual: Reached, tls: Tls
) -> None:
    with pytest.raises(errors.Unreachable, match="no connection"):
        await mutual.org_id(tls)
    assert mutual.proxy.requests == []


async def test_plain_http_to_a_tls_port_and_tls_to_a_plain_port_are_told(
    reached: Reached, organization: Organization
) -> None:
    with pytest.raises(errors.GrafanaError):
        await reached.org_id(TRUSTING, url=reached.proxy.url.replace("https", "http"))
    with pytest.raises(errors.Unreachable, match="is it an https address"):
        await reached.org_id(TRUSTING, url=organization.grafana.url.replace("http", "https"))


async def test_headers_arrive_beside_ours(reached: Reached, organization: Organization) -> None:
    sent = {"X_Team": " a\n", "Authorization": "Bearer no", "X_Grafana_Org_Id": "987"}
    assert await reached.org_id(TRUSTING, **sent) == organization.id
    (request,) = reached.proxy.requests
    assert request.headers["x-team"] == "a"


async def test_a_header_that_http_does_not_allow_is_told_without_its_value(
    reached: Reached,
) -> None:
    with pytest.raises(errors.Unreachable, match="a header or the token holds") as refused:
        await reached.org_id(TRUSTING, X_Team="line-1\nline-2")
    assert "line" not in str(refused.value)
    assert reached.proxy.requests == []
