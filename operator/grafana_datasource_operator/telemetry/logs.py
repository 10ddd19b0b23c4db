"""Logs to stderr: JSON lines in a cluster, text at a terminal; one line per outcome."""

import json
import logging
import time
from enum import StrEnum
from typing import Any

FIELDS = "fields"
"""Name of the record attribute that carries key=value extras."""

# At DEBUG these print headers or whole objects.
_QUIET = ("httpx", "httpcore", "aiohttp", "asyncio", "kubernetes", "kopf.objects")


class LogFormat(StrEnum):
    """How a line looks."""

    JSON = "json"
    TEXT = "text"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        extras = " ".join(f"{k}={v}" for k, v in getattr(record, FIELDS, {}).items())
        return f"{super().format(record)} {extras}".rstrip()


def configure_logging(level: str, format_: LogFormat) -> None:
    """Send all logs of the process through one handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if format_ is LogFormat.JSON else _TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.getLogger("kopf").setLevel(max(logging.INFO, root.level))
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def extras(**fields: object) -> dict[str, dict[str, object]]:
    """`extra=` of a log call: key=value pairs that follow the message."""
    return {FIELDS: fields}
