"""Combine Secrets into secureJsonData."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from ..api.datasource import DataSourceSpec
from ..api.reasons import Reason
from ..api.references import SecretKeyRef
from ..api.secret import SecretContent
from ..errors import Retrying

Secrets = Mapping[str, SecretContent | None]
"""Secret name -> its content, or None where it does not exist."""


@dataclass(frozen=True, slots=True)
class ResolvedSecrets:
    """secureJsonData as read from Secrets.

    Attributes:
        values: key -> value to send.
        kept: keys of optional references without a value: Grafana keeps what it has.
        keeps_all: an optional Secret taken whole is absent or empty; its keys are not known.
        revision: digest over all that was referred to, never over values; None where nothing is.
    """

    values: dict[str, SecretStr] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    keeps_all: bool = False
    revision: str | None = None

    def left_over(self, held: frozenset[str]) -> frozenset[str]:
        """Keys of `held` that the spec no longer asks for."""
        return frozenset() if self.keeps_all else held - self.values.keys() - self.kept


def resolve_secrets(spec: DataSourceSpec, secrets: Secrets) -> ResolvedSecrets:
    """SecureJsonData of `spec`: Secrets taken whole in order, then single keys, which win.

    Raises:
        Retrying: WaitingForSecret, naming the field, the Secret and the key.
    """
    values: dict[str, SecretStr] = {}
    kept: set[str] = set()
    for index, content in _whole_secrets(spec, secrets):
        for key in content.data:
            value = _decode(content, key, f"spec.secureJsonDataFrom[{index}]")
            if value.get_secret_value():
                values[key] = value
            else:
                kept.add(key)
    for key, source in (spec.secure_json_data or {}).items():
        single = read_key(secrets, source.secret_key_ref, f"spec.secureJsonData.{key}")
        if single is None:
            kept.add(key)
            values.pop(key, None)
        else:
            values[key] = single
    return ResolvedSecrets(
        values=values,
        kept=frozenset(kept - values.keys()),
        keeps_all=any(
            not (whole := secrets[source.secret_ref.name]) or not whole.data
            for source in spec.secure_json_data_from or []
        ),
    )


def read_key(secrets: Secrets, ref: SecretKeyRef, path: str) -> SecretStr | None:
    """The value of one key, or None where an optional reference has none.

    Raises:
        Retrying: WaitingForSecret, naming `path`, the Secret and the key.
    """
    content = secrets[ref.name]
    if content is None:
        problem = f'Secret "{ref.name}" does not exist'
    elif ref.key not in content.data:
        problem = f'Secret "{ref.name}" has no key "{ref.key}"'
    else:
        value = _decode(content, ref.key, path)
        if value.get_secret_value():
            return value
        problem = f'key "{ref.key}" of Secret "{ref.name}" is empty'
    if ref.optional:
        return None
    raise _waiting(path, problem)


def _whole_secrets(spec: DataSourceSpec, secrets: Secrets) -> Iterator[tuple[int, SecretContent]]:
    for index, source in enumerate(spec.secure_json_data_from or []):
        content = secrets[source.secret_ref.name]
        if content is not None and content.data:
            yield index, content
        elif not source.secret_ref.optional:
            problem = "does not exist" if content is None else "is empty"
            raise _waiting(
                f"spec.secureJsonDataFrom[{index}]", f'Secret "{source.secret_ref.name}" {problem}'
            )


def _decode(content: SecretContent, key: str, path: str) -> SecretStr:
    try:
        raw = base64.b64decode(content.data[key].get_secret_value(), validate=True)
        return SecretStr(raw.decode())
    except (binascii.Error, UnicodeDecodeError):
        # Raised anew without its cause, which would carry the bytes.
        problem = f'key "{key}" of Secret "{content.name}" is not UTF-8 text'
    raise _waiting(path, problem)


def _waiting(path: str, problem: str) -> Retrying:
    return Retrying(
        Reason.WAITING_FOR_SECRET, f"{path}: {problem}; until then Grafana is left as it is"
    )
