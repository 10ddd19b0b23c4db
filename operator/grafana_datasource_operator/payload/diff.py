"""Compare the state that a resource asks for with the state that Grafana holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..api.grafana_json import DataSourceState
from ..api.names import OWNER_KEY
from .datasource import DesiredDataSource, held_json_data, keep_ignored
from .json_values import find_differences, without_nulls
from .plugin_types import canonical_type
from .pointers import escape

_MOST_TOLD = 8
_LONGEST_TOLD = 120
_MARK = f"/jsonData/{escape(OWNER_KEY)}"

_CLEARED_BY_NO_PUT = frozenset({"url", "basicAuthUser"})


@dataclass(frozen=True, slots=True)
class StoreTraits:
    """How a server's store deviates from what PUT says (found by asking, never by version).

    Attributes:
        keeps_database: an empty `database` keeps the old one (before 9.0).
        lists_blanked_secrets: a blanked secret is still listed as set (before 9.0).
    """

    keeps_database: bool = False
    lists_blanked_secrets: bool = False


def diff(
    desired: DesiredDataSource, actual: DataSourceState, traits: StoreTraits
) -> tuple[str, ...]:
    """JSON Pointers of what an update would change; empty when Grafana holds the desired state."""
    wanted = keep_ignored(desired, actual)
    return (
        *(f"/{name}" for name in _differing_fields(wanted, actual, traits)),
        *_differing_json(wanted, actual),
        *(f"/secureJsonData/{key}" for key in _differing_secrets(wanted, actual, traits)),
    )


def uncleared(
    desired: DesiredDataSource, actual: DataSourceState, traits: StoreTraits
) -> list[str]:
    """Fields that the spec leaves empty while Grafana keeps an old value, which no PUT clears."""
    kept = keep_ignored(desired, actual)
    pairs = _text_fields(kept, actual)
    return [name for name in sorted(_unclearable(traits)) if not pairs[name][0] and pairs[name][1]]


def describe_difference(pointers: Sequence[str], desired: DesiredDataSource) -> str:
    """Differences as a message tells them: where they are, never what."""
    told = [_describe(pointer, desired) for pointer in pointers[:_MOST_TOLD]]
    left = len(pointers) - len(told)
    return ", ".join(told) + (f" and {left} more" if left else "")


def _describe(pointer: str, desired: DesiredDataSource) -> str:
    if pointer in desired.secret_fed:
        return f"{pointer} (from a Secret)"
    # Anyone with access to Grafana can have made the key.
    return pointer if len(pointer) <= _LONGEST_TOLD else f"{pointer[:_LONGEST_TOLD]}…"


def _unclearable(traits: StoreTraits) -> frozenset[str]:
    return _CLEARED_BY_NO_PUT | ({"database"} if traits.keeps_database else frozenset())


def _text_fields(desired: DesiredDataSource, actual: DataSourceState) -> dict[str, tuple[str, str]]:
    return {
        "name": (desired.name, actual.name),
        "type": (canonical_type(desired.type), canonical_type(actual.type)),
        "access": (desired.access, actual.access),
        "url": (desired.url, actual.url),
        "user": (desired.user, actual.user),
        "database": (desired.database, actual.database),
        "basicAuthUser": (desired.basic_auth_user, actual.basic_auth_user),
    }


def _differing_fields(
    desired: DesiredDataSource, actual: DataSourceState, traits: StoreTraits
) -> list[str]:
    unclearable = _unclearable(traits)
    names = [
        name
        for name, (wanted, held) in _text_fields(desired, actual).items()
        if wanted != held and (wanted or name not in unclearable)
    ]
    if desired.basic_auth != actual.basic_auth:
        names.append("basicAuth")
    if desired.with_credentials != actual.with_credentials:
        names.append("withCredentials")
    if desired.is_default is not None and desired.is_default != actual.is_default:
        names.append("isDefault")
    return names


def _differing_json(desired: DesiredDataSource, actual: DataSourceState) -> list[str]:
    wanted = without_nulls(desired.json_data)
    held = without_nulls(held_json_data(actual))
    differing = find_differences(wanted, held, "/jsonData")
    # The mark is ours to restore, but not the user's to read about.
    return ["/jsonData" if pointer == _MARK else pointer for pointer in differing]


def _differing_secrets(
    desired: DesiredDataSource, actual: DataSourceState, traits: StoreTraits
) -> list[str]:
    missing = desired.secrets.values.keys() - actual.secret_keys
    left = desired.secrets.left_over(actual.secret_keys)
    return sorted(missing if traits.lists_blanked_secrets else missing | left)
