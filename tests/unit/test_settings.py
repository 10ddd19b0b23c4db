"""Settings: from variables and flags, with errors that name the variable and not its value."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from grafana_datasource_operator.settings import PREFIX, Settings, SettingsError, load_settings
from grafana_datasource_operator.telemetry.logs import LogFormat

GRAFANA = {"GDSO_GRAFANA_URL": "http://grafana.example"}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.upper().startswith(PREFIX):
            monkeypatch.delenv(variable)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings as they come out of these variables and flags."""

    def load(variables: dict[str, str], **flags: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return load_settings(flags)

    return load


def test_everything_has_a_default(load: Any) -> None:
    settings = load({})
    assert settings == Settings()
    assert (settings.http_address, settings.resync_interval) == (":8080", 600)
    assert (settings.log_level, settings.log_format) == ("INFO", LogFormat.JSON)
    assert (settings.namespaces, settings.grafana_allowed_namespaces) == ((), ())
    assert (settings.instance_namespaces, settings.owner_id_accept) == ((), ())
    assert (settings.watched_namespaces, settings.default_instance) == ((), None)
    assert (settings.grafana_url, settings.owner_id, settings.grafana_org_id) == (None,) * 3


@pytest.mark.parametrize(
    ("variables", "field", "value"),
    [
        ({"GDSO_NAMESPACES": "a,b"}, "namespaces", ("a", "b")),
        ({"GDSO_NAMESPACES": " a , b ,"}, "namespaces", ("a", "b")),
        ({"GDSO_NAMESPACES": ""}, "namespaces", ()),
        ({"GDSO_GRAFANA_ALLOWED_NAMESPACES": "a"}, "grafana_allowed_namespaces", ("a",)),
        ({"GDSO_HTTP_ADDRESS": "127.0.0.1:0"}, "http_address", "127.0.0.1:0"),
        ({"GDSO_HTTP_ADDRESS": "[::1]:8080"}, "http_address", "[::1]:8080"),
        ({"GDSO_OWNER_ID": "cluster-1.eu"}, "owner_id", "cluster-1.eu"),
        ({"GDSO_OWNER_ID_ACCEPT": "old-1, old-2"}, "owner_id_accept", ("old-1", "old-2")),
        ({"GDSO_OWNER_ID_ACCEPT": ""}, "owner_id_accept", ()),
        ({"GDSO_INSTANCE_NAMESPACES": "a,b"}, "instance_namespaces", ("a", "b")),
        ({"GDSO_DEFAULT_INSTANCE": "grafana/main"}, "default_instance", "grafana/main"),
        ({"GDSO_DEFAULT_INSTANCE": "g/a.b-c.example"}, "default_instance", "g/a.b-c.example"),
        ({"GDSO_DEFAULT_INSTANCE": ""}, "default_instance", None),
        ({"GDSO_OWNER_ID": ""}, "owner_id", None),
        ({"GDSO_RESYNC_INTERVAL": "1h30m"}, "resync_interval", 5400),
        ({"GDSO_RESYNC_INTERVAL": "0s"}, "resync_interval", 0),
        ({"GDSO_RESYNC_INTERVAL": "1s"}, "resync_interval", 1),
        ({"GDSO_LOG_LEVEL": "DEBUG"}, "log_level", "DEBUG"),
        ({"GDSO_LOG_FORMAT": "text"}, "log_format", LogFormat.TEXT),
        (
            {"GDSO_GRAFANA_URL": "https://g.example/sub", "GDSO_GRAFANA_TOKEN": "t"},
            "grafana_url",
            "https://g.example/sub",
        ),
        ({**GRAFANA, "GDSO_GRAFANA_TOKEN_FILE": "/t"}, "grafana_token_file", Path("/t")),
        ({"GDSO_GRAFANA_ORG_ID": "3"}, "grafana_org_id", 3),
    ],
)
def test_a_variable_is_read(
    load: Any, variables: dict[str, str], field: str, value: object
) -> None:
    assert getattr(load(variables), field) == value


def test_a_flag_wins_over_the_variable(load: Any) -> None:
    assert load({"GDSO_LOG_LEVEL": "DEBUG"}, log_level="ERROR").log_level == "ERROR"


def test_a_flag_is_read_as_the_variable_is(load: Any) -> None:
    settings = load({}, namespaces="a,b", resync_interval="2m")
    assert (settings.namespaces, settings.resync_interval) == (("a", "b"), 120)


def test_settings_do_not_change_once_they_are_read(load: Any) -> None:
    with pytest.raises(ValidationError):
        load({}).log_level = "DEBUG"


def _refusal(load: Any, variables: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        load(variables)
    assert refused.value.__cause__ is None
    return str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GDSO_HTTP_ADDRESS", "mistyped-value"),
        ("GDSO_HTTP_ADDRESS", "host:mistyped-value"),
        ("GDSO_HTTP_ADDRESS", "mistyped-value:99999"),
        ("GDSO_HTTP_ADDRESS", "mistyped-value:-1"),
        ("GDSO_OWNER_ID", "mistyped/value"),
        ("GDSO_OWNER_ID", "mistyped-value" * 5),
        ("GDSO_RESYNC_INTERVAL", "mistyped-value"),
        ("GDSO_RESYNC_INTERVAL", "10"),
        ("GDSO_RESYNC_INTERVAL", "999ms"),
        ("GDSO_LOG_LEVEL", "mistyped-value"),
        ("GDSO_LOG_LEVEL", "info"),
        ("GDSO_LOG_FORMAT", "mistyped-value"),
        ("GDSO_GRAFANA_URL", "mistyped-value"),
        ("GDSO_GRAFANA_URL", "ftp://mistyped-value"),
        ("GDSO_GRAFANA_URL", "http://"),
        ("GDSO_GRAFANA_URL", "http://admin:mistyped-value@grafana"),
        ("GDSO_GRAFANA_URL", "http://mistyped-value@grafana"),
        ("GDSO_GRAFANA_URL", "http://grafana?key=mistyped-value"),
        ("GDSO_GRAFANA_URL", "http://grafana#mistyped-value"),
        ("GDSO_GRAFANA_URL", "http://grafana:mistyped-value"),
        ("GDSO_GRAFANA_URL", "http://grafana:99999/mistyped-value"),
        ("GDSO_GRAFANA_URL", "http://[mistyped-value]"),
        ("GDSO_GRAFANA_URL", "http://[mistyped-value"),
        ("GDSO_GRAFANA_URL", "http://mistyped-value\n"),
        ("GDSO_GRAFANA_URL", "http://u:mistyped-value\u2100@grafana"),
        ("GDSO_DEFAULT_INSTANCE", "mistyped-value"),
        ("GDSO_DEFAULT_INSTANCE", "/mistyped-value"),
        ("GDSO_DEFAULT_INSTANCE", "mistyped-value/"),
        ("GDSO_DEFAULT_INSTANCE", "a/b/mistyped-value"),
        ("GDSO_DEFAULT_INSTANCE", "mistyped.value/main"),
        ("GDSO_DEFAULT_INSTANCE", "Mistyped-value/mistyped"),
        ("GDSO_GRAFANA_ORG_ID", "mistyped-value"),
        ("GDSO_GRAFANA_ORG_ID", "0"),
        ("GDSO_GRAFANA_ORG_ID", "-1"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable_alone(
    load: Any, variable: str, value: str
) -> None:
    refusal = _refusal(load, {"GDSO_GRAFANA_TOKEN": "glsa_1", variable: value})
    assert refusal.startswith(f"{variable}: ")
    assert "mistyped" not in refusal
    assert len(refusal.splitlines()) == 1


def test_all_that_is_wrong_is_told_at_once_a_line_each(load: Any) -> None:
    refusal = _refusal(load, {"GDSO_LOG_LEVEL": "x", "GDSO_GRAFANA_ORG_ID": "x"})
    assert {line.partition(":")[0] for line in refusal.splitlines()} == {
        "GDSO_LOG_LEVEL",
        "GDSO_GRAFANA_ORG_ID",
    }


_TOKEN = {"GDSO_GRAFANA_TOKEN": "secret-value-1"}
_FILE = {"GDSO_GRAFANA_TOKEN_FILE": "/secret-value-1"}
_BASIC = {"GDSO_GRAFANA_USERNAME": "secret-value-1", "GDSO_GRAFANA_PASSWORD": "secret-value-1"}


@pytest.mark.parametrize("credential", [_TOKEN, _FILE, _BASIC], ids=["token", "file", "basic"])
def test_one_credential_is_right(load: Any, credential: dict[str, str]) -> None:
    assert load({**GRAFANA, **credential}).grafana_url == GRAFANA["GDSO_GRAFANA_URL"]


@pytest.mark.parametrize(
    "credentials",
    [{}, _TOKEN | _FILE, _TOKEN | _BASIC, _FILE | _BASIC, _TOKEN | _FILE | _BASIC],
    ids=["none", "token+file", "token+basic", "file+basic", "all"],
)
def test_none_or_more_than_one_is_refused_by_their_names(
    load: Any, credentials: dict[str, str]
) -> None:
    refusal = _refusal(load, {**GRAFANA, **credentials})
    for variable in ("URL", "TOKEN", "TOKEN_FILE", "USERNAME"):
        assert f"GDSO_GRAFANA_{variable}" in refusal
    assert "secret-value-1" not in refusal


@pytest.mark.parametrize("half", sorted(_BASIC))
def test_user_and_password_go_together(load: Any, half: str) -> None:
    refusal = _refusal(load, {half: "secret-value-1"})
    assert "GDSO_GRAFANA_USERNAME and GDSO_GRAFANA_PASSWORD go together" in refusal
    assert "secret-value-1" not in refusal


def test_settings_do_not_show_their_secrets(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_password = load({**GRAFANA, **_BASIC, "GDSO_GRAFANA_USERNAME": "admin"})
    assert "secret-value-1" not in f"{with_password}{with_password!r}{with_password.model_dump()}"
    for variable in _BASIC:
        monkeypatch.delenv(variable)
    assert "secret-value-1" not in f"{load({**GRAFANA, **_TOKEN})!r}"


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


# --- the default instance -----------------------------------------------------------------------


@pytest.mark.parametrize("credential", [_TOKEN, _FILE, _BASIC, {}])
def test_two_defaults_are_refused_by_their_names(load: Any, credential: dict[str, str]) -> None:
    refusal = _refusal(load, {**GRAFANA, **credential, "GDSO_DEFAULT_INSTANCE": "a/secret-name"})
    assert "GDSO_DEFAULT_INSTANCE" in refusal
    assert "GDSO_GRAFANA_URL" in refusal
    assert "set one of them" in refusal
    assert "secret-value-1" not in refusal
    assert "secret-name" not in refusal


@pytest.mark.parametrize(
    ("variables", "watched"),
    [
        ({}, ()),
        ({"GDSO_NAMESPACES": "a,b"}, ("a", "b")),
        ({"GDSO_NAMESPACES": "a,b", "GDSO_INSTANCE_NAMESPACES": "b,c"}, ("a", "b", "c")),
        ({"GDSO_INSTANCE_NAMESPACES": "c"}, ()),
    ],
)
def test_whatever_is_of_interest_is_watched(
    load: Any, variables: dict[str, str], watched: tuple[str, ...]
) -> None:
    assert load(variables).watched_namespaces == watched
