"""Why a resource cannot be brought to the state of its spec, for the person with kubectl.

ReconcileError
├── Stalled      needs a person; looked at again when the cause may have gone
└── Retrying     resolves by itself: something is late, or Grafana cannot be asked
"""

from .api.reasons import STALLED_REASONS, Reason

STALLED_RECHECK_SECONDS = 60.0
"""How often a conflict that only Grafana can resolve is looked at again."""


class ReconcileError(Exception):
    """A resource is not in the state of its spec.

    Attributes:
        reason: reason of the Ready condition.
        message: what is wrong, where, and what to do; never a secret.
        retry_after: seconds until the next look; None where `Stalled` waits for a change of the
            resource, and `Retrying` backs off.
    """

    def __init__(self, reason: Reason, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class Stalled(ReconcileError):
    """Needs a person."""

    def __init__(self, reason: Reason, message: str, *, retry_after: float | None = None) -> None:
        if reason not in STALLED_REASONS:
            raise ValueError(f"{reason} is not a reason that stalls")
        super().__init__(reason, message, retry_after=retry_after)


class Retrying(ReconcileError):
    """Resolves by itself, or by a change elsewhere."""


def invalid_spec(path: str, problem: str) -> Stalled:
    """The spec is wrong at `path`, a field path such as `spec.url`."""
    return Stalled(Reason.INVALID_SPEC, f"{path}: {problem}")
