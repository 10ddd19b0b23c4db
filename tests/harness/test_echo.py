"""The echo back end tells and remembers what it received."""

import httpx

from tests.servers.echo import EchoServer


def test_answers_with_what_it_received(echo: EchoServer) -> None:
    answer = httpx.post(
        f"{echo.url}/api/v1/query?q=1", headers={"X-Scope": "a"}, content=b"x", trust_env=False
    )
    assert answer.json()["method"] == "POST"
    assert answer.json()["path"] == "/api/v1/query?q=1"
    assert answer.json()["headers"]["x-scope"] == "a"
    assert echo.received[0].body == b"x"


def test_tells_which_credentials_came_last(echo: EchoServer) -> None:
    assert echo.last_header("Authorization") is None
    for token in ("old", "new"):
        httpx.get(echo.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert echo.last_header("Authorization") == "Bearer new"
    assert echo.headers("authorization") == ["Bearer old", "Bearer new"]
    echo.forget()
    assert echo.last_header("authorization") is None


def test_answers_a_head_request_without_a_body(echo: EchoServer) -> None:
    with httpx.Client(trust_env=False) as client:
        assert client.head(echo.url).content == b""
        assert client.get(echo.url).status_code == 200
