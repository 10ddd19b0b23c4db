"""Answers in the two forms that Grafana writes them, told apart by their content type."""

import json
from dataclasses import dataclass

from aiohttp import web

from tests.grafana_double.versions import ErrorText, JsonObject, Version

_FROM_HANDLER = "application/json"
_FROM_CONTEXT = "application/json; charset=UTF-8"


def answer(body: object, status: int = 200) -> web.Response:
    return _json(status, body, _FROM_HANDLER)


def context_answer(body: object, status: int = 200) -> web.Response:
    return _json(status, body, _FROM_CONTEXT)


def _json(status: int, body: object, content_type: str) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(body).encode(), headers={"Content-Type": content_type}
    )


@dataclass
class ApiError(Exception):
    """A request that is answered with an error by its handler."""

    status: int
    message: str
    has_cause: bool = False
    """Whether an error underneath was logged: some versions show a `traceID` then."""
    message_id: str = ""

    @classmethod
    def worded(cls, text: ErrorText) -> "ApiError":
        return cls(text.status, text.message, text.has_cause, text.message_id)

    def response(self, version: Version) -> web.Response:
        body: JsonObject = {"message": self.message}
        if self.message_id:
            body |= {"messageId": self.message_id, "statusCode": self.status}
        if self.has_cause and version.trace_id is not None:
            body["traceID"] = version.trace_id
        return answer(body, self.status)


@dataclass
class EarlyApiError(Exception):
    """A request that is answered with an error before, or beside, its handler."""

    status: int
    body: JsonObject

    @classmethod
    def because(cls, status: int, message: str) -> "EarlyApiError":
        return cls(status, {"message": message})

    @classmethod
    def caused(cls, version: Version, status: int, message: str) -> "EarlyApiError":
        return cls(status, {"message": message, "traceID": version.context_trace_id})

    def response(self) -> web.Response:
        return context_answer(self.body, self.status)


def bad_request_data() -> ApiError:
    return ApiError(400, "bad request data", has_cause=True)
