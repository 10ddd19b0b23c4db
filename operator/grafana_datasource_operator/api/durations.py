"""Durations as Kubernetes users write them: `90s`, `10m`, `1h30m`."""

import re
from typing import Annotated

from pydantic import Field

PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds in `text`.

    Raises:
        ValueError: `text` is not a duration.
    """
    if not re.fullmatch(PATTERN, text):
        raise ValueError("must be a duration such as 30s, 10m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


Interval = Annotated[
    str,
    Field(
        max_length=32,
        pattern=PATTERN,
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "duration(self) == duration('0s') || duration(self) >= duration('1s')",
                    "message": "must be 0s (never) or at least 1s",
                }
            ]
        },
    ),
]
"""How often something happens; 0s is never."""

Timeout = Annotated[
    str,
    Field(
        max_length=32,
        pattern=PATTERN,
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "duration(self) >= duration('1s') && duration(self) <= duration('5m')",
                    "message": "must be from 1s to 5m",
                }
            ]
        },
    ),
]
"""How long an answer may take."""
