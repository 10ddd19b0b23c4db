"""Fields that stay as Grafana has them: which ones a spec may name, and how they are kept."""

from collections.abc import Iterable

from ..api.datasource import DataSourceSpec
from ..api.model import Json
from ..api.names import OWNER_KEY
from ..errors import invalid_spec
from .pointers import ABSENT, NoSuchPlaceError, below_json_data, find, place, remove

FIELDS = {
    "/url": "url",
    "/user": "user",
    "/database": "database",
    "/access": "access",
    "/basicAuth": "basic_auth",
    "/basicAuthUser": "basic_auth_user",
    "/withCredentials": "with_credentials",
    "/isDefault": "is_default",
}
"""Pointer -> name in our models, of the fields that may be ignored besides those in jsonData."""

_POSSIBLE = f"{', '.join(FIELDS)}, and what is below /jsonData"

KEPT_KEYS = frozenset({"teamHttpHeaders", "pdcInjected", "grafanaExternalId"})
"""Keys of jsonData that Grafana writes itself: kept as it has them unless the spec sets them."""


def check_ignored(spec: DataSourceSpec) -> None:
    """Refuse pointers to fields that are not the user's to leave to Grafana.

    Raises:
        Stalled: InvalidSpec, naming the entry and what is possible.
    """
    for index, pointer in enumerate(spec.ignore_fields or []):
        path = f"spec.ignoreFields[{index}]"
        below = below_json_data(pointer)
        if pointer not in FIELDS and not below:
            raise invalid_spec(
                path,
                f"{pointer} cannot be ignored; possible are {_POSSIBLE}",
            )
        if below[:1] == (OWNER_KEY,):
            raise invalid_spec(path, f"{pointer} is the operator's own mark; remove this entry")


def ignored_pointers(spec: DataSourceSpec) -> frozenset[str]:
    """What `spec` leaves as Grafana has it, and what it does not say and Grafana writes itself."""
    said = {key for key, value in (spec.json_data or {}).items() if value is not None}
    return frozenset(spec.ignore_fields or []) | {f"/jsonData/{key}" for key in KEPT_KEYS - said}


def keep_json(desired: Json, held: Json, pointers: Iterable[str]) -> Json:
    """`desired` with what `held` has at those of `pointers` that lead below jsonData.

    Where `held` has nothing, neither has the result, except for an item of a list: the spec says
    how long a list is.
    """
    kept = desired
    for below in sorted(filter(None, map(below_json_data, pointers))):
        value = find(held, below)
        if value is ABSENT:
            kept = remove(kept, below)
            continue
        try:
            kept = place(kept, below, value)
        except NoSuchPlaceError:
            # What holds the place has another shape: there, the spec wins.
            continue
    return kept
