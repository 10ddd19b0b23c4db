"""Which Grafanas are found, and that one asked for by name is not replaced by another."""

import os
from pathlib import Path

import pytest

from tests.servers.grafana import GivenGrafana
from tests.servers.grafana_choice import contract_choices, every_choice, main_choice
from tests.servers.grafana_homes import GrafanaMissingError, find_grafanas


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GDSO_TEST_CACHE", str(tmp_path / "cache"))
    for name in ("GDSO_TEST_GRAFANA_HOMES", "GDSO_TEST_GRAFANA_URL"):
        monkeypatch.delenv(name, raising=False)


def make_home(path: Path, version: str | None = None, program: str = "grafana") -> Path:
    (path / "bin").mkdir(parents=True)
    (path / "bin" / program).touch()
    (path / "conf").mkdir()
    (path / "conf" / "defaults.ini").touch()
    if version is not None:
        (path / "VERSION").write_text(f"{version}\n")
    return path


def test_finds_the_homes_in_the_cache_oldest_first(tmp_path: Path) -> None:
    homes = tmp_path / "cache" / "grafana"
    make_home(homes / "newest", "12.4.0")
    make_home(homes / "release", "9.4.0")
    make_home(homes / "grafana-9.4.0-pre", program="grafana-server")
    (homes / "half-built" / "bin").mkdir(parents=True)
    found = find_grafanas()
    assert [home.version for home in found] == ["9.4.0-pre", "9.4.0", "12.4.0"]
    assert found[0].command()[0].endswith("bin/grafana-server")
    assert found[2].command()[1] == "server"


def test_the_homes_that_are_named_are_the_only_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(tmp_path / "cache" / "grafana" / "12.4.0")
    named = [make_home(tmp_path / name) for name in ("grafana-10.0.0", "grafana-11.0.0")]
    monkeypatch.setenv("GDSO_TEST_GRAFANA_HOMES", os.pathsep.join(map(str, named)))
    assert [home.version for home in find_grafanas()] == ["10.0.0", "11.0.0"]


def test_a_named_home_that_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDSO_TEST_GRAFANA_HOMES", str(tmp_path / "absent"))
    with pytest.raises(GrafanaMissingError, match="absent"):
        main_choice()


def test_a_given_server_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(GrafanaMissingError, match="ConnectError"):
        GivenGrafana("http://127.0.0.1:9", ("admin", "admin"))


def test_contract_tests_run_against_real_servers_and_every_double(tmp_path: Path) -> None:
    assert str(main_choice()) == "12.4.0-double"
    make_home(tmp_path / "cache" / "grafana" / "11.0.0")
    assert [str(choice) for choice in contract_choices()] == [
        "11.0.0-server",
        "8.5.9-double",
        "9.4.0-pre-double",
        "12.4.0-double",
    ]
    assert str(main_choice()) == "11.0.0-server"


def test_one_of_them_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDSO_TEST_GRAFANA", "9.4.0-pre-double")
    assert str(main_choice()) == "9.4.0-pre-double"
    monkeypatch.setenv("GDSO_TEST_GRAFANA", "7.5.0-double")
    with pytest.raises(GrafanaMissingError, match=r"none of 8\.5\.9-double, "):
        main_choice()


def test_tests_on_every_version_take_the_double_only_where_no_server_is(tmp_path: Path) -> None:
    for version in ("9.4.0-pre", "11.0.0"):
        make_home(tmp_path / "cache" / "grafana" / version, version)
    assert [str(choice) for choice in every_choice()] == [
        "9.4.0-pre-server",
        "11.0.0-server",
        "8.5.9-double",
        "12.4.0-double",
    ]
