"""Fill fields of a spec with values from Secrets and ConfigMaps (`valuesFrom`)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import SecretStr, ValidationError

from ..api.datasource import DataSourceSpec, ValueSource
from ..api.names import OWNER_KEY
from ..api.reasons import Reason
from ..api.references import ConfigMapKeyRef
from ..errors import Retrying, invalid_spec
from . import references
from .inputs import Inputs
from .pointers import NoSuchPlaceError, below_json_data, field_path, parse_pointer, place
from .secrets import read_key

_FIELDS = {
    "/url": "url",
    "/user": "user",
    "/database": "database",
    "/basicAuthUser": "basic_auth_user",
    "/name": "name",
}
_POSSIBLE = f"{', '.join(_FIELDS)}, and what is below /jsonData"


@dataclass(frozen=True, slots=True)
class FilledSpec:
    """A spec after its `valuesFrom`, which it no longer has.

    Attributes:
        spec: with the values in it, secret ones too.
        pointers: of the fields that got a value.
        secret_fed: those of them whose value came from a Secret.
        hidden: the values that came from Secrets.
    """

    spec: DataSourceSpec = field(repr=False)
    pointers: frozenset[str] = frozenset()
    secret_fed: frozenset[str] = frozenset()
    hidden: tuple[SecretStr, ...] = ()


def check_values_from(spec: DataSourceSpec) -> None:
    """Refuse entries that cannot be applied, whatever their values are.

    Raises:
        Stalled: InvalidSpec, naming the entry and what is possible.
    """
    seen: dict[tuple[str, ...], int] = {}
    for index, entry in enumerate(spec.values_from or []):
        path = f"spec.valuesFrom[{index}].path"
        _check_path(entry.path, path)
        tokens = parse_pointer(entry.path)
        for other, earlier in seen.items():
            shorter = min(len(tokens), len(other))
            if tokens[:shorter] == other[:shorter]:
                raise invalid_spec(path, f"overlaps with spec.valuesFrom[{earlier}].path")
        seen[tokens] = index
        _put(spec, entry, "", path)
        source = entry.value_from
        if (source.secret_key_ref is None) is (source.config_map_key_ref is None):
            raise invalid_spec(
                f"spec.valuesFrom[{index}].valueFrom",
                "exactly one of secretKeyRef, configMapKeyRef must be set",
            )


def fill_values(spec: DataSourceSpec, inputs: Inputs) -> FilledSpec:
    """`spec` with the values that its `valuesFrom` takes from `inputs`.

    Raises:
        ReconcileError: InvalidSpec, WaitingForSecret or WaitingForConfigMap, naming the entry.
    """
    check_values_from(spec)
    filled = spec
    pointers, secret_fed, hidden = set(), set(), []
    for path, entry, value in _read_values(spec, inputs):
        if isinstance(value, SecretStr):
            secret_fed.add(entry.path)
            hidden.append(value)
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        _check_value(entry.path, text, path)
        filled = _put(filled, entry, text, f"{path}.path")
        pointers.add(entry.path)
    return FilledSpec(
        filled.model_copy(update={"values_from": None}),
        frozenset(pointers),
        frozenset(secret_fed),
        tuple(hidden),
    )


def _check_path(pointer: str, path: str) -> None:
    below = below_json_data(pointer)
    if pointer not in _FIELDS and not below:
        raise invalid_spec(path, f"{pointer} cannot be set; possible are {_POSSIBLE}")
    if below[:1] == (OWNER_KEY,):
        raise invalid_spec(path, f"{pointer} is the operator's own mark; remove this entry")
    if references.KEY in below:
        raise invalid_spec(
            path, f"{pointer} is part of a {references.KEY}, which only jsonData itself can hold"
        )


def _read_values(
    spec: DataSourceSpec, inputs: Inputs
) -> Iterator[tuple[str, ValueSource, SecretStr | str]]:
    """Entries that have a value, each with its path."""
    for index, entry in enumerate(spec.values_from or []):
        path = f"spec.valuesFrom[{index}]"
        source = entry.value_from
        value: SecretStr | str | None = None
        if source.secret_key_ref is not None:
            value = read_key(inputs.secrets, source.secret_key_ref, path)
        elif source.config_map_key_ref is not None:
            value = _read_config_map(inputs, source.config_map_key_ref, path)
        if value is not None:
            yield path, entry, value


def _read_config_map(inputs: Inputs, ref: ConfigMapKeyRef, path: str) -> str | None:
    content = inputs.config_maps[ref.name]
    if content is None:
        problem = f'ConfigMap "{ref.name}" does not exist'
    elif ref.key not in content.data:
        problem = f'ConfigMap "{ref.name}" has no key "{ref.key}" in its data'
    elif value := content.data[ref.key]:
        return value
    else:
        problem = f'key "{ref.key}" of ConfigMap "{ref.name}" is empty'
    if ref.optional:
        return None
    raise Retrying(
        Reason.WAITING_FOR_CONFIG_MAP, f"{path}: {problem}; until then Grafana is left as it is"
    )


def _check_value(pointer: str, value: str, path: str) -> None:
    if pointer not in _FIELDS:
        return
    try:
        DataSourceSpec.model_validate({"type": "any", _FIELDS[pointer]: value})
    except ValidationError as error:
        # Raised anew without its cause: the value may be a secret.
        limit = error.errors(include_input=False)[0].get("ctx", {}).get("max_length")
    else:
        return
    bound = f"has more than {limit} characters" if limit else "is not possible there"
    raise invalid_spec(path, f"its value for {pointer} {bound}")


def _put(spec: DataSourceSpec, entry: ValueSource, value: str, path: str) -> DataSourceSpec:
    if entry.path in _FIELDS:
        return spec.model_copy(update={_FIELDS[entry.path]: value})
    try:
        json_data = place(spec.json_data or {}, below_json_data(entry.path), value)
    except NoSuchPlaceError as error:
        parent = field_path("spec.jsonData", error.parent)
        raise invalid_spec(path, f"{entry.path} cannot be set: {parent} {error.problem}") from None
    return spec.model_copy(update={"json_data": json_data})
