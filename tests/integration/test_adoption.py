"""Data sources that nobody owns: who may take them over, and what becomes of their secrets."""

import base64
import secrets
import time
from collections.abc import Iterator

import pytest

from tests.integration.places import Place
from tests.integration.places import place as place
from tests.integration.places import place_on_every_grafana as place_on_every_grafana
from tests.integration.places import standing_places as standing_places
from tests.integration.sandbox import Json
from tests.integration.specs import secret_key
from tests.servers.echo import EchoServer

CACHE_SECONDS = 5.0
"""Grafana keeps decrypted secrets for so long: a write shows at the back end within it."""
IF_UNOWNED = {"adoptionPolicy": "IfUnowned"}


@pytest.fixture
def new_echo() -> Iterator[EchoServer]:
    """The back end that a data source is moved to."""
    with EchoServer() as server:
        yield server


def make_with_secrets(place: Place, uid: str, url: str) -> tuple[str, str]:
    """A data source by hand that sends a password and a header; returns both."""
    password, token = (f"old-{secrets.token_hex(8)}" for _ in range(2))
    place.target.make_by_hand(
        uid,
        type="prometheus",
        url=url,
        basicAuth=True,
        basicAuthUser="svc",
        jsonData={"httpHeaderName1": "X-Token"},
        secureJsonData={"basicAuthPassword": password, "httpHeaderValue1": token},
    )
    return password, token


def sent(password: str) -> str:
    return f"Basic {base64.b64encode(f'svc:{password}'.encode()).decode()}"


def without_secrets(url: str) -> Json:
    """The same as a spec, with references that keep what Grafana has."""
    absent = secret_key("absent", "key", optional=True)
    return {
        "type": "prometheus",
        "url": url,
        "basicAuth": True,
        "basicAuthUser": "svc",
        "jsonData": {"httpHeaderName1": "X-Token"},
        "secureJsonData": {"basicAuthPassword": absent, "httpHeaderValue1": absent},
    }


def test_an_old_password_never_goes_to_the_host_that_an_adoption_moves_to(
    place_on_every_grafana: Place, echo: EchoServer, new_echo: EchoServer
) -> None:
    place, users = place_on_every_grafana, place_on_every_grafana.sandbox
    old_password, old_token = make_with_secrets(place, "moved", echo.url)
    place.target.query("moved")
    assert echo.last_header("Authorization") == sent(old_password)
    assert echo.last_header("X-Token") == old_token
    # Without this pause Grafana heals by itself what the test is to find, and proves nothing.
    time.sleep(CACHE_SECONDS + 1)

    name = f"moves-{place.instance}"
    place.apply(name, uid="moved", **IF_UNOWNED, **without_secrets(new_echo.url))
    users.wait_ready(name)
    users.wait_for_event(name, "Adopted")
    end = time.monotonic() + CACHE_SECONDS + 1
    while time.monotonic() < end:
        place.target.query("moved")
    assert len(new_echo.received) > 5
    assert set(new_echo.headers("Authorization")) <= {None, sent("")}
    assert set(new_echo.headers("X-Token")) <= {None, ""}
