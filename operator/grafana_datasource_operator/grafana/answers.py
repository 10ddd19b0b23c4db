"""Turn an HTTP answer of Grafana into JSON or one of our errors."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from ..api.model import Json
from . import errors

LONGEST_RETRY_AFTER = 300.0
"""Seconds: no answer may silence an instance for longer."""
MAX_QUOTED = 256
"""Characters of Grafana's own message that we repeat."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its status and, where it is JSON, its content."""

    status: int
    content: Any
    is_json: bool
    retry_after: float | None

    @property
    def message(self) -> str:
        """Grafana's message, cut; empty where it gave none."""
        text = self.content.get("message") if isinstance(self.content, dict) else None
        return str(text or "")[:MAX_QUOTED]

    @property
    def is_missing_route(self) -> bool:
        """404 of the router: this server does not know the path. A handler's 404 says more."""
        return self.status == 404 and self.is_json and self.message in ("Not found", "")


def read_answer(response: httpx.Response) -> Answer:
    """The answer in `response`, whatever stood between us and Grafana."""
    content: Any = None
    is_json = "json" in response.headers.get("content-type", "")
    if is_json:
        try:
            content = json.loads(response.content)
        except (ValueError, RecursionError):
            is_json = False
    return Answer(response.status_code, content, is_json, _retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds in `Retry-After`; a date counts from the answer's own Date, so clocks may differ."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return float(min(int(value[:10]), LONGEST_RETRY_AFTER))
    try:
        base = parsedate_to_datetime(response.headers["date"])
        seconds = (parsedate_to_datetime(value) - base).total_seconds()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)


def expect_object(answer: Answer) -> Json:
    """The JSON object of a successful answer.

    Raises:
        errors.GrafanaError: the answer is an error, or not Grafana's.
    """
    if answer.status == 200 and isinstance(answer.content, dict):
        return answer.content
    raise to_error(answer)


def expect_list(answer: Answer) -> list[Any]:
    """The JSON list of a successful answer.

    Raises:
        errors.GrafanaError: the answer is an error, or not Grafana's.
    """
    if answer.status == 200 and isinstance(answer.content, list):
        return answer.content
    raise to_error(answer)


def to_error(answer: Answer) -> errors.GrafanaError:
    """The error that an unsuccessful answer stands for."""
    if 200 <= answer.status < 400 or not answer.is_json:
        return _foreign(answer)
    if answer.status >= 500 and answer.message.lower() == "invalid api key":
        # How servers up to 9.3 answer an unknown token.
        return _unauthorized(answer)
    if answer.status >= 500 or answer.status == 429:
        return _unavailable(answer)
    return _BY_STATUS.get(answer.status, _rejected)(answer)


def _quoted(answer: Answer) -> str:
    return f': "{answer.message}"' if answer.message else ""


def _foreign(answer: Answer) -> errors.GrafanaError:
    if answer.status == 429:
        return _unavailable(answer)
    if 300 <= answer.status < 400:
        # Where it leads is not told: a login page has tokens in its address.
        return errors.Unavailable(
            f"Grafana's address answered HTTP {answer.status}, a redirect, which is not followed"
            " since it would carry the credentials elsewhere; check the URL (https, sub-path), and"
            " that no login page stands before Grafana's API",
            retry_after=answer.retry_after,
        )
    return errors.Unavailable(
        f"Grafana's address answered HTTP {answer.status} with something that is not Grafana's"
        " JSON; check the URL, and what stands between the operator and Grafana",
        retry_after=answer.retry_after,
    )


def _unavailable(answer: Answer) -> errors.GrafanaError:
    text = f"Grafana answered HTTP {answer.status}{_quoted(answer)}"
    kind = _BY_FAILURE.get(answer.status, errors.Unavailable)
    return kind(text, retry_after=answer.retry_after)


def _unauthorized(answer: Answer) -> errors.GrafanaError:
    return errors.Unauthorized(
        f"Grafana does not accept the operator's credentials (HTTP {answer.status}"
        f"{_quoted(answer)}); check the token, or user and password"
    )


def _forbidden(answer: Answer) -> errors.GrafanaError:
    text = answer.message.lower()
    if "read-only" in text or "read only" in text:
        return errors.ReadOnly("the data source is provisioned from a file on the Grafana server")
    if "quota reached" in text:
        return errors.QuotaReached("the organization's quota of data sources is reached")
    if "team http headers" in text:
        return _rejected(answer)
    return errors.PermissionDenied(
        f"the operator's credentials lack a permission in Grafana{_quoted(answer)};"
        " give the service account the role Admin"
    )


def _not_found(answer: Answer) -> errors.GrafanaError:
    if "data source not found" in answer.message.lower():
        return errors.NotFound("the data source does not exist")
    return errors.Unavailable(
        f"Grafana's address answered HTTP 404{_quoted(answer)} where the data source API should"
        " be; check the URL, also its sub-path"
    )


def _conflict(answer: Answer) -> errors.GrafanaError:
    text = answer.message.lower()
    if "updated by someone else" in text:
        return errors.VersionConflict("someone else wrote the data source at the same time")
    return errors.AlreadyExists(answer.message or "name or uid is taken")


def _rejected(answer: Answer) -> errors.GrafanaError:
    return errors.Rejected(f"Grafana refused it with HTTP {answer.status}{_quoted(answer)}")


_BY_FAILURE: dict[int, type[errors.Unaskable]] = {
    429: errors.Throttled,
    500: errors.ServerFault,
}
_BY_STATUS: dict[int, Callable[[Answer], errors.GrafanaError]] = {
    401: _unauthorized,
    403: _forbidden,
    404: _not_found,
    409: _conflict,
}
