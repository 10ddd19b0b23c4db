"""TLS towards a Grafana: who is let in, and which server is believed."""

import ssl
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import StartProxy
from tests.servers.certificates import CertificateAuthority, Issued, MutualTls, tls_values
from tests.servers.echo import EchoServer
from tests.servers.fault_proxy import FaultProxy


@pytest.fixture(scope="module")
def tls() -> MutualTls:
    return MutualTls()


@pytest.fixture
def demanding(tls: MutualTls, echo: EchoServer) -> Iterator[FaultProxy]:
    """Lets in only who shows a certificate of the CA."""
    with FaultProxy(echo.url, tls=tls.server_context()) as proxy:
        yield proxy


def get(url: str, context: ssl.SSLContext) -> httpx.Response:
    with httpx.Client(verify=context, timeout=5, trust_env=False) as client:
        return client.get(url)


def test_a_client_with_a_certificate_of_the_ca_is_let_in(
    tls: MutualTls, demanding: FaultProxy
) -> None:
    assert demanding.url.startswith("https://127.0.0.1:")
    assert get(demanding.url, tls.client_context(tls.client)).status_code == 200
    assert demanding.count() == 1


@pytest.mark.parametrize("shown", ["nothing", "a stranger's"])
def test_other_clients_are_refused(
    tls: MutualTls, demanding: FaultProxy, echo: EchoServer, shown: str
) -> None:
    client: Issued | None = tls.stranger if shown == "a stranger's" else None
    with pytest.raises(httpx.TransportError):
        get(demanding.url, tls.client_context(client))
    assert (demanding.count(), echo.received) == (0, [])


def test_a_server_may_be_content_without_client_certificates(
    tls: MutualTls, echo: EchoServer, fault_proxy_to: StartProxy
) -> None:
    proxy = fault_proxy_to(echo.url, tls=tls.server_context(demands_client=False))
    assert get(proxy.url, tls.client_context()).status_code == 200


def test_a_server_of_another_ca_or_name_is_not_believed(
    tls: MutualTls, demanding: FaultProxy, echo: EchoServer, fault_proxy_to: StartProxy
) -> None:
    other = ssl.create_default_context(cadata=CertificateAuthority("other").pem.decode())
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        get(demanding.url, other)
    elsewhere = fault_proxy_to(echo.url, tls=tls.server_elsewhere.server_context())
    with pytest.raises(httpx.ConnectError, match=r"not valid for '127\.0\.0\.1'"):
        get(elsewhere.url, tls.client_context(tls.client))


def test_only_the_key_of_a_secret_counts_as_secret(tls: MutualTls) -> None:
    values = {**tls.ca_values(), **tls_values(tls.client)}
    assert [key for key, value in values.items() if isinstance(value, str)] == ["tls.key"]
