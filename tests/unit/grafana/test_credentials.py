"""Credentials: what they put on the wire, when another try may fare better, and no word of them."""

import os
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from grafana_datasource_operator.grafana.credentials import (
    Credentials,
    Token,
    TokenFile,
    UserPassword,
)


def _header(credentials: Credentials) -> str | None:
    request = httpx.Request("GET", "http://grafana.example")
    sent = next(credentials.authorization().sync_auth_flow(request))
    value: str | None = sent.headers.get("Authorization")
    return value


def test_a_token_is_a_bearer() -> None:
    assert _header(Token(SecretStr("token-1"))) == "Bearer token-1"


def test_user_and_password_are_basic_auth() -> None:
    assert _header(UserPassword("admin", SecretStr("pw-1"))) == "Basic YWRtaW46cHctMQ=="


def test_a_token_file_is_read_at_each_use_and_without_the_newline_that_editors_add(
    tmp_path: Path,
) -> None:
    path = tmp_path / "token"
    credentials = TokenFile(path)
    path.write_text("token-1\n")
    assert _header(credentials) == "Bearer token-1"
    path.write_text("token-2")
    assert _header(credentials) == "Bearer token-2"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x80"])
def test_a_token_file_that_cannot_be_read_sends_no_credentials(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    assert _header(TokenFile(path)) is None


def test_a_token_file_that_appears_changes_or_goes_is_worth_another_try(tmp_path: Path) -> None:
    path = tmp_path / "token"
    credentials = TokenFile(path)
    seen = [credentials.fingerprint()]
    path.write_text("token-1")
    seen.append(credentials.fingerprint())
    later = path.stat().st_mtime_ns + 1_000_000
    path.write_text("token-2")
    os.utime(path, ns=(later, later))
    seen.append(credentials.fingerprint())
    assert len(set(seen)) == 3
    assert credentials.fingerprint() == seen[-1]
    path.unlink()
    assert credentials.fingerprint() == seen[0]


@pytest.mark.parametrize(
    "credentials", [Token(SecretStr("t")), UserPassword("u", SecretStr("p"))], ids=str
)
def test_credentials_of_the_environment_never_change(credentials: Credentials) -> None:
    assert credentials.fingerprint() == credentials.fingerprint()


def test_passwords_are_tried_less_often_than_tokens_since_grafana_locks_accounts() -> None:
    token = Token(SecretStr("t")).refused_pause
    assert (token, TokenFile(Path("t")).refused_pause) == (60, 60)
    assert UserPassword("u", SecretStr("p")).refused_pause == 300


def test_credentials_do_not_show_themselves(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret-value-1")
    for credentials in (
        Token(SecretStr("secret-value-1")),
        TokenFile(path),
        UserPassword("admin", SecretStr("secret-value-1")),
    ):
        shown = f"{credentials}{credentials!r}{credentials.authorization()!r}"
        assert "secret-value-1" not in f"{shown}{credentials.fingerprint()!r}"
