"""An administrator who logs in once: Grafana hashes a password anew with each request otherwise.

That takes it about 10 ms of a processor, ten times as long as the request itself.
"""

from collections.abc import Generator

import httpx

_COOKIE = "grafana_session"


class Session(httpx.Auth):
    """The session's cookie while Grafana takes it, else user and password."""

    def __init__(self, url: str, admin: tuple[str, str]) -> None:
        """Log in to the server at `url`; one without a login page is asked by password."""
        body = {"user": admin[0], "password": admin[1]}
        answer = httpx.post(f"{url}/login", json=body, trust_env=False, timeout=30)
        self._cookie = answer.cookies.get(_COOKIE)
        self._password = httpx.BasicAuth(*admin)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._cookie:
            request.headers["Cookie"] = f"{_COOKIE}={self._cookie}"
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
            del request.headers["Cookie"]
            self._cookie = None  # ran out
        yield from self._password.auth_flow(request)
