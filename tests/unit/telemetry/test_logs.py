"""Logs: a JSON object a line, and silence of those who would print too much."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from grafana_datasource_operator.telemetry.logs import LogFormat, configure_logging, extras

_LOUD = ["httpx", "httpcore", "httpcore.http11", "aiohttp.client", "asyncio", "kubernetes.client"]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logger.level for name, logger in _loggers().items()}
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, logger in _loggers().items():
        logger.setLevel(levels.get(name, logging.NOTSET))


def _loggers() -> dict[str, logging.Logger]:
    known = logging.Logger.manager.loggerDict.items()
    return {name: logger for name, logger in known if isinstance(logger, logging.Logger)}


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_a_line_is_a_json_object_with_time_level_logger_message_and_extras(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("INFO", LogFormat.JSON)
    log = logging.getLogger("unit.shape")
    log.info("Looked at %s", "it", extra=extras(kind="GrafanaDataSource", seconds=0.5))
    (line,) = _lines(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "unit.shape",
        "message": "Looked at it",
        "kind": "GrafanaDataSource",
        "seconds": 0.5,
    }


def test_whatever_is_logged_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", LogFormat.JSON)
    log = logging.getLogger("unit.lines")
    log.info('two\nlines and "quotes" and \u2028', extra=extras(detail="a\r\nb", odd=object()))
    try:
        raise LookupError("with\na traceback")
    except LookupError:
        log.exception("Failed")
    first, second = _lines(capsys)
    assert first["message"] == 'two\nlines and "quotes" and \u2028'
    assert first["detail"] == "a\r\nb"
    assert "Traceback" in second["exception"]


def test_text_for_a_terminal_ends_in_the_extras(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", LogFormat.TEXT)
    logging.getLogger("unit.text").warning("Odd", extra=extras(kind="X", name="y"))
    logging.getLogger("unit.text").warning("Plain")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("WARNING Odd kind=X name=y")
    assert second.endswith("WARNING Plain")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("INFO", ["info", "warning", "error"]),
        ("WARNING", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
def test_the_level_is_where_logs_begin(
    level: str, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(level, LogFormat.JSON)
    log = logging.getLogger("unit.level")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("x")
    assert [line["level"] for line in _lines(capsys)] == shown


@pytest.mark.parametrize("name", _LOUD)
def test_those_who_print_headers_are_silent_even_at_debug(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("DEBUG", LogFormat.JSON)
    log = logging.getLogger(name)
    log.debug("Authorization: Bearer secret-value-1")
    log.info("HTTP Request: GET http://user:secret-value-1@host")
    assert _lines(capsys) == []
    log.warning("worth knowing")
    assert [line["message"] for line in _lines(capsys)] == ["worth knowing"]


def test_kopf_does_not_dump_objects_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("DEBUG", LogFormat.JSON)
    logging.getLogger("kopf._core.reactor").debug("Object: {...}")
    logging.getLogger("kopf.objects").info("Handler succeeded: {...}")
    assert _lines(capsys) == []


def test_configuring_twice_does_not_say_everything_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        configure_logging("INFO", LogFormat.JSON)
    logging.getLogger("unit.twice").info("once")
    assert len(_lines(capsys)) == 1
