"""The command line of `gdso run`: flags for settings, and none for secrets."""

import pytest

from grafana_datasource_operator.cli import main
from grafana_datasource_operator.settings import Settings

SECRETS = ["grafana-token", "grafana-password"]


def _help(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main(["run", "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


def test_every_setting_that_is_no_secret_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys)
    flags = {f"--{name.replace('_', '-')}" for name in Settings.model_fields}
    secret = {f"--{name}" for name in SECRETS}
    assert secret <= flags
    words = set(text.replace("[", " ").replace("]", " ").split())
    assert flags - secret <= words
    assert not secret & words


def test_the_help_says_where_secrets_go(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys)
    for name in SECRETS:
        assert f"GDSO_{name.replace('-', '_').upper()}" in text


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("form", ["--{}=secret-value-1", "--{} secret-value-1"])
def test_a_secret_is_not_taken_as_a_flag_not_even_as_the_beginning_of_another(
    name: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["run", *form.format(name).split()])
    assert left.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--log-level", "LOUD"], "GDSO_LOG_LEVEL"),
        (["--http-address", "nowhere"], "GDSO_HTTP_ADDRESS"),
        (["--grafana-url", "grafana"], "GDSO_GRAFANA_URL"),
        (["--resync-interval", "often"], "GDSO_RESYNC_INTERVAL"),
    ],
)
def test_a_wrong_flag_ends_the_command_with_code_2_and_the_name_of_the_setting(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"{named}: ")


@pytest.mark.parametrize("arguments", [[], ["walk"], ["run", "fast"]])
def test_wrong_usage_ends_with_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: gdso" in capsys.readouterr().err
