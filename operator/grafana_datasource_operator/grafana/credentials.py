"""Credentials for Grafana: a token (given, or in a file that may change), or user and password."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from pydantic import SecretStr


class Credentials(Protocol):
    """Says who we are on each request; `fingerprint` changes when another try may fare better."""

    def authorization(self) -> httpx.Auth:
        """The authentication of the next request."""

    def fingerprint(self) -> object:
        """Anything that differs once the credentials have changed; never printed."""

    @property
    def refused_pause(self) -> float:
        """Seconds between two probes once they were refused."""


@dataclass(frozen=True, slots=True)
class Token:
    """A service account token."""

    token: SecretStr
    refused_pause = 60.0

    def authorization(self) -> httpx.Auth:
        """Bearer authentication."""
        return _Bearer(self.token)

    def fingerprint(self) -> object:
        """Constant: the environment of a process does not change."""
        return None


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A service account token in a file, as a mounted Secret gives it."""

    path: Path
    refused_pause = 60.0

    def authorization(self) -> httpx.Auth:
        """Bearer authentication with the token that the file holds now; none without one."""
        try:
            return _Bearer(SecretStr(self.path.read_text().strip()))
        except (OSError, ValueError):
            return httpx.Auth()

    def fingerprint(self) -> object:
        """Modification time of the file."""
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class UserPassword:
    """Basic auth; probed rarely once refused, since Grafana locks accounts."""

    user: str
    password: SecretStr
    refused_pause = 300.0

    def authorization(self) -> httpx.Auth:
        """Basic authentication."""
        return httpx.BasicAuth(self.user, self.password.get_secret_value())

    def fingerprint(self) -> object:
        """Constant: the environment of a process does not change."""
        return None


class _Bearer(httpx.Auth):
    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        yield request
