"""TLS from PEM: what is trusted, and what is said of material that cannot be used."""

import os
import ssl
import traceback
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr

from grafana_datasource_operator.grafana.connection import (
    ConnectionSettings,
    InvalidTlsError,
    Tls,
    build_ssl_context,
)
from tests.canary import find_leaks
from tests.servers.certificates import CertificateAuthority

AUTHORITY = CertificateAuthority("unit tests")
CLIENT = AUTHORITY.issue_client("operator")
OTHER = AUTHORITY.issue_client("another")
GARBAGE = b"garbage-content-1"


def _key(pem: bytes) -> SecretStr:
    return SecretStr(pem.decode())


def _locked(pem: bytes) -> SecretStr:
    key = serialization.load_pem_private_key(pem, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    return _key(locked)


WITH_CLIENT = Tls(client_cert_pem=CLIENT.certificate, client_key_pem=_key(CLIENT.key))


def test_nothing_special_needs_no_context() -> None:
    assert build_ssl_context(Tls()) is True


def _built(tls: Tls) -> ssl.SSLContext:
    context = build_ssl_context(tls)
    assert isinstance(context, ssl.SSLContext)
    return context


def test_a_ca_of_ones_own_is_the_only_one_that_is_trusted() -> None:
    context = _built(Tls(ca_pem=AUTHORITY.pem))
    (trusted,) = context.get_ca_certs(binary_form=True)
    assert trusted == ssl.PEM_cert_to_DER_cert(AUTHORITY.pem.decode())
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_several_cas_are_trusted_whatever_is_written_around_them() -> None:
    second = CertificateAuthority("second").pem
    bundle = "# Aussteller: Müller\n".encode() + AUTHORITY.pem + b"\n# 2\n" + second
    assert len(_built(Tls(ca_pem=bundle)).get_ca_certs()) == 2


def test_an_intermediate_ca_is_trusted_without_its_root() -> None:
    assert _built(Tls(ca_pem=AUTHORITY.pem)).verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


def test_a_client_certificate_does_not_change_whom_we_trust() -> None:
    context = _built(WITH_CLIENT)
    assert len(context.get_ca_certs()) > 50
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("ca", [None, AUTHORITY.pem])
def test_verification_is_given_up_only_where_it_is_asked_for(ca: bytes | None) -> None:
    context = _built(Tls(ca_pem=ca, insecure_skip_verify=True))
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (Tls(ca_pem=b""), "the CA holds no PEM certificate"),
        (Tls(ca_pem=GARBAGE), "the CA holds no PEM certificate"),
        (Tls(ca_pem=b"\xff\xfe\x00"), "the CA holds no PEM certificate"),
        (Tls(ca_pem=CLIENT.key), "the CA holds no PEM certificate"),
        (Tls(ca_pem=AUTHORITY.pem[:200]), "the CA holds no PEM certificate"),
        (Tls(ca_pem=AUTHORITY.pem.replace(b"A", b"B")), "the CA holds no PEM certificate"),
        (Tls(client_cert_pem=CLIENT.certificate), "the client key is missing"),
        (Tls(client_key_pem=_key(CLIENT.key)), "the client certificate is missing"),
        (
            replace(WITH_CLIENT, client_cert_pem=GARBAGE),
            "the client certificate holds no PEM certificate",
        ),
        (replace(WITH_CLIENT, client_key_pem=SecretStr(GARBAGE.decode())), "the client key is no"),
        (replace(WITH_CLIENT, client_key_pem=SecretStr("")), "the client key is no PEM key"),
        (
            replace(WITH_CLIENT, client_key_pem=_locked(CLIENT.key)),
            "no PEM key without a password",
        ),
        (
            replace(WITH_CLIENT, client_key_pem=_key(OTHER.key)),
            "the client certificate and key do not fit each other",
        ),
    ],
)
def test_the_part_that_cannot_be_used_is_named_without_its_content(tls: Tls, said: str) -> None:
    with pytest.raises(InvalidTlsError, match=said) as refused:
        build_ssl_context(tls)
    error = refused.value
    assert error.message == str(error)
    shown = {"error": f"{error}{error!r}{''.join(traceback.format_exception(error))}"}
    material = [GARBAGE.decode(), *CLIENT.key.decode().splitlines()[1:-1]]
    assert find_leaks(material, shown) == []


@pytest.mark.parametrize("key", [CLIENT.key, OTHER.key, GARBAGE])
def test_no_file_stays_open(key: bytes) -> None:
    def open_files() -> list[str]:
        return os.listdir("/proc/self/fd")

    before = open_files()
    for _ in range(3):
        try:
            build_ssl_context(replace(WITH_CLIENT, client_key_pem=_key(key)))
        except InvalidTlsError:
            assert key != CLIENT.key
    assert open_files() == before


def test_settings_do_not_show_their_secrets() -> None:
    settings = ConnectionSettings(
        "https://user:url-password-1@grafana.example",
        tls=WITH_CLIENT,
        headers={"X-Key": SecretStr("header-value-1")},
    )
    values = ["url-password-1", "header-value-1", *CLIENT.key.decode().splitlines()[1:-1]]
    assert find_leaks(values, {"repr": repr(settings), "str": str(settings)}) == []


def test_equal_settings_are_equal_and_different_ones_are_not() -> None:
    def settings(header: str) -> ConnectionSettings:
        return ConnectionSettings("http://g", headers={"X": SecretStr(header)}, tls=WITH_CLIENT)

    assert settings("a") == settings("a")
    assert settings("a") != settings("b")
