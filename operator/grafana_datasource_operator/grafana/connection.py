"""How one Grafana is reached: address, organization, TLS and headers, and the SSL context of it."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr

_KEEP_PASSWORD_PROMPT_AWAY = ""
"""Without a password OpenSSL would ask the terminal for that of an encrypted key."""


class InvalidTlsError(Exception):
    """A part of the TLS material cannot be used; `message` says which, and shows none of it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Tls:
    """What makes a connection to Grafana trusted, both ways; all PEM.

    Attributes:
        ca_pem: the only CAs whose certificates Grafana may have; None: the public ones.
        client_cert_pem: shown to Grafana, with its chain.
        client_key_pem: of the first certificate, not encrypted.
        insecure_skip_verify: take any certificate of Grafana.
    """

    ca_pem: bytes | None = field(default=None, repr=False)
    client_cert_pem: bytes | None = field(default=None, repr=False)
    client_key_pem: SecretStr | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How to reach one Grafana.

    Attributes:
        url: root of Grafana, with its sub-path if it has one.
        org_id: organization to act in; None: the credentials' own.
        timeout: seconds for connecting and between two pieces of an answer.
        tls: of an https URL.
        headers: sent with each request, but for those that are ours.
        max_concurrent_requests: ceiling for reads, and for writes.
    """

    url: str = field(repr=False)
    org_id: int | None = None
    timeout: float = 10.0
    tls: Tls = Tls()
    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    max_concurrent_requests: int = 4


def build_ssl_context(tls: Tls) -> ssl.SSLContext | bool:
    """What httpx takes as `verify`: True where nothing differs from the default.

    Raises:
        InvalidTlsError: a part cannot be used.
    """
    if tls == Tls():
        return True
    if tls.ca_pem is None:
        context = httpx.create_ssl_context(trust_env=False)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # An intermediate CA is as good as its root to whoever gave only that.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _trust(context, tls.ca_pem, "the CA")
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _load_client_certificate(context, tls)
    return context


def _trust(context: ssl.SSLContext, pem: bytes, what: str) -> None:
    # Comments around the certificates may be in any language; what counts is ASCII.
    text = pem.decode("ascii", errors="ignore")
    try:
        context.load_verify_locations(cadata=text or "-")
    except (ssl.SSLError, ValueError):
        raise InvalidTlsError(f"{what} holds no PEM certificate, or a broken one") from None


def _load_client_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    if tls.client_cert_pem is None and tls.client_key_pem is None:
        return
    if tls.client_cert_pem is None or tls.client_key_pem is None:
        missing = "certificate" if tls.client_cert_pem is None else "key"
        raise InvalidTlsError(f"the client {missing} is missing; certificate and key go together")
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls.client_cert_pem, "the client certificate")
    key = tls.client_key_pem.get_secret_value().encode()
    try:
        with _in_memory(tls.client_cert_pem) as certificate, _in_memory(key) as key_path:
            context.load_cert_chain(certificate, key_path, password=_KEEP_PASSWORD_PROMPT_AWAY)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = "the client certificate and key do not fit each other"
        else:
            problem = "the client key is no PEM key without a password"
        raise InvalidTlsError(problem) from None


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path to `content` that leads to no disk: OpenSSL reads certificates from paths only."""
    number = os.memfd_create("pem")
    try:
        with os.fdopen(number, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)
