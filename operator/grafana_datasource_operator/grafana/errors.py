"""What can go wrong at Grafana. Texts are ours: never a URL, a header or a raw body.

GrafanaError
├── Unaskable            Grafana did not answer the question; says nothing about its state
│   ├── Unreachable      no connection
│   │   └── TimedOut     no answer in time
│   ├── Unauthorized     401: the credentials are not accepted
│   ├── Unavailable      5xx, or an answer that is not Grafana's
│   │   └── Throttled    429
│   └── ServerFault      500
├── Closed               we let the connection go
├── PermissionDenied     403: the credentials may not do this
├── NotFound             the data source does not exist
├── AlreadyExists        409: the uid or the name is taken
├── VersionConflict      409: someone wrote since we read
├── ReadOnly             403: provisioned from a file
├── QuotaReached         403: the organization may have no more
└── Rejected             400 and the like: Grafana does not take this body
"""


class GrafanaError(Exception):
    """Base; `message` is safe to publish."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unaskable(GrafanaError):
    """Grafana did not answer the question.

    Attributes:
        retry_after: seconds that Grafana asked us to wait, if it did.
        pauses: no other request would fare better: the whole instance waits for a probe. Of the
            others only another request can tell whether this one is alone.
    """

    pauses = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(Unaskable):
    """No connection."""


class TimedOut(Unreachable):
    """No answer in time."""

    pauses = True


class Unauthorized(Unaskable):
    """The credentials are not accepted."""

    pauses = True


class Unavailable(Unaskable):
    """Grafana, or what stands before it, answered that it cannot answer."""


class Throttled(Unavailable):
    """Grafana, or what stands before it, asks for fewer requests."""

    pauses = True


class ServerFault(Unaskable):
    """500: this one request failed, as on a locked database; rolled back, safe to repeat."""


class Closed(GrafanaError):
    """We let the connection go, perhaps for another one; says nothing about Grafana."""


class PermissionDenied(GrafanaError):
    """The credentials may not do this; the message names the permission."""


class NotFound(GrafanaError):
    """The data source does not exist in this organization."""


class AlreadyExists(GrafanaError):
    """The uid or the name is taken; the name is checked first, so GET by uid decides."""


class VersionConflict(GrafanaError):
    """Someone wrote since we read."""


class ReadOnly(GrafanaError):
    """Provisioned from a file."""


class QuotaReached(GrafanaError):
    """The organization may have no more data sources (or this one exists already)."""


class Rejected(GrafanaError):
    """Grafana does not take this body."""
