"""Request bodies, read as strictly and as leniently as Go's encoding/json reads into a struct."""

import json
import re
from collections.abc import Mapping
from typing import NoReturn

from aiohttp import web

from tests.grafana_double.answers import bad_request_data

_INTEGER_LIMIT = 2**63


class BodyError(Exception):
    """A body that does not fit."""


class Fields:
    """A JSON object whose keys match whatever their case, and where null means absent."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = {key.lower(): value for key, value in values.items()}

    def anything(self, key: str) -> object:
        return self._values.get(key.lower())

    def optional_text(self, key: str) -> str | None:
        value = self.anything(key)
        if value is not None and not isinstance(value, str):
            raise BodyError(f"{key} is not a string")
        # Half a surrogate pair becomes a replacement character.
        return value and value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def text(self, key: str) -> str:
        return self.optional_text(key) or ""

    def flag(self, key: str) -> bool:
        value = self.anything(key)
        if value is not None and not isinstance(value, bool):
            raise BodyError(f"{key} is not a boolean")
        return bool(value)

    def integer(self, key: str) -> int:
        value = self.anything(key)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int):
            raise BodyError(f"{key} is not an integer")
        if not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
            raise BodyError(f"{key} does not fit into 64 bits")
        return value

    def object(self, key: str) -> dict[str, object] | None:
        value = self.anything(key)
        if value is not None and not isinstance(value, dict):
            raise BodyError(f"{key} is not an object")
        return value

    def group(self, key: str) -> "Fields | None":
        value = self.object(key)
        return None if value is None else Fields(value)

    def groups(self, key: str) -> "list[Fields] | None":
        value = self.anything(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise BodyError(f"{key} is not a list")
        return [Fields(_object_or_nothing(item)) for item in value]

    def texts(self, key: str) -> dict[str, str]:
        """A map of strings; its keys keep their case, and a null in it is an empty string."""
        values = self.object(key) or {}
        if not all(value is None or isinstance(value, str) for value in values.values()):
            raise BodyError(f"{key} has a value that is not a string")
        return {name: str(value or "") for name, value in values.items()}


async def read(request: web.Request) -> Fields:
    """The body's first JSON value; an empty body counts as an empty object."""
    if request.content_type != "application/json":
        raise bad_request_data()
    text = (await request.read()).decode(errors="replace").lstrip(" \t\r\n")
    try:
        value, _ = _DECODER.raw_decode(text) if text else (None, 0)
        return Fields(_object_or_nothing(value))
    except (ValueError, BodyError, RecursionError) as error:
        raise bad_request_data() from error


def _object_or_nothing(value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BodyError("not an object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


_GO_INTEGER = re.compile(r"[+-]?[0-9]+")


def path_integer(text: str) -> int | None:
    """What Go's ParseInt makes of a part of a path; None where it gives up."""
    if not _GO_INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -_INTEGER_LIMIT <= number < _INTEGER_LIMIT else None
