"""What Grafana repeats of what we sent is blotted out."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.grafana.redaction import blot_out, secrets_of_authorization


@pytest.mark.parametrize(
    ("text", "values", "left"),
    [
        ("bad value secret-1", ["secret-1"], "bad value …"),
        ("secret-1secret-1", ["secret-1"], "……"),
        ("secret-and-rest, secret!", ["secret", "secret-and-rest"], "…, …!"),
        (r'invalid "a\"b\n1234"', ['a"b\n1234'], 'invalid "…"'),
        ("GET http://h/?q=p%40ss%2Fword", ["p@ss/word"], "GET http://h/?q=…"),
        ("GET http://h/a/b%20c", ["a/b c"], "GET http://h/…"),
        ("nothing here", ["", "other"], "nothing here"),
        ("nothing here", [], "nothing here"),
        # Short ones are in any text.
        ("a bad database: a", ["a"], "… bad database: …"),
        ("database db, adbc", ["db"], "database …, adbc"),
        # Of a URL, whatever tells where it leads.
        ('Get "http://h1:90/x": dial tcp h1:90', ["http://h1:90"], 'Get "…/x": dial tcp …'),
        (
            "lookup host.internal: no such host",
            ["https://host.internal/p"],
            "lookup …: no such host",
        ),
        ("user joe, p@ss refused", ["http://joe:p%40ss@host"], "user …, … refused"),
        ("db:5432 refused", ["postgres://db:5432/grafana"], "… refused"),
        ("lookup db: no such host", ["db:5432"], "lookup …: no such host"),
        ("no url here: [", ["http://["], "no url here: ["),
    ],
)
def test_values_are_blotted_out_however_they_are_written(
    text: str, values: list[str], left: str
) -> None:
    assert blot_out(text, values) == left


@given(st.text(min_size=4), st.sampled_from(["{}", 'parse "{}": bad', "x{}x"]))
def test_no_value_survives(value: str, frame: str) -> None:
    if value in frame.format(""):
        return
    for written in (value, json.dumps(value)[1:-1], quote(value, safe="", errors="replace")):
        assert blot_out(frame.format(written), [value]) == frame.format("…")


def test_the_secrets_of_an_authorization_are_what_nobody_else_may_know() -> None:
    assert secrets_of_authorization("Bearer glsa_1") == ["glsa_1"]
    basic = base64.b64encode(b"admin:pass:word").decode()
    assert secrets_of_authorization(f"Basic {basic}") == [basic, "pass:word"]
    assert secrets_of_authorization("Basic /w==") == ["/w=="]
    assert secrets_of_authorization("") == [""]
