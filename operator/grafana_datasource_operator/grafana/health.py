"""What Grafana's check of a data source says. In: its answer; out: status and text."""

from dataclasses import dataclass

from ..api.reasons import ConditionStatus
from .answers import Answer

HEALTH_TIMEOUT_SECONDS = 20.0
"""A hanging back end held one check for 60 s (measured)."""


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict on one data source.

    Attributes:
        status: of the Healthy condition; Unknown: Grafana could not tell.
        word: what Grafana said: OK, ERROR, UNKNOWN, or "" for nothing.
        message: for people; Grafana's own where it gave one.
    """

    status: ConditionStatus
    word: str
    message: str


def read_health(answer: Answer | None, type_: str) -> Health:
    """The verdict in `answer`, None where none came in time.

    Args:
        answer: to the check of a data source.
        type_: plugin of the data source.
    """
    if answer is None:
        return Health(ConditionStatus.FALSE, "", f"no answer in {HEALTH_TIMEOUT_SECONDS:g} s")
    word = answer.content.get("status") if isinstance(answer.content, dict) else None
    if answer.status in (200, 400) and word in ("OK", "ERROR", "UNKNOWN"):
        is_ok = word == "OK" and answer.status == 200
        status = ConditionStatus.TRUE if is_ok else ConditionStatus.FALSE
        return Health(status, word, answer.message or f"Grafana's check says {word}, and no more")
    return Health(ConditionStatus.UNKNOWN, "", _why_unknown(answer, type_))


def _why_unknown(answer: Answer, type_: str) -> str:
    plugin = f'the plugin of type "{type_}"' if type_ else "the plugin of the data source"
    said = f' ("{answer.message}")' if answer.message else ""
    text = answer.message.lower()
    if not answer.is_json:
        return f"something before Grafana answered HTTP {answer.status} to the check of health"
    if answer.status == 403:
        return f"the operator's credentials may not ask for the health of data sources{said}"
    if "not registered" in text or "unable to find datasource plugin" in text:
        return f"{plugin} is not installed in Grafana"
    if answer.status in (404, 501):
        return f"{plugin} has no check of health in this Grafana"
    if "unavailable" in text:
        return f"{plugin} is not available to Grafana's server{said}"
    return f"Grafana could not check {plugin}: HTTP {answer.status}{said}"
