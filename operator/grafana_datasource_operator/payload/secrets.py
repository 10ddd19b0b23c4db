"""Combine Secrets into secureJsonData, and say which of them were used."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping

from pydantic import SecretStr

from ..api.datasource import DataSourceSpec
from ..api.reasons import Reason
from ..api.references import SecretKeyRef
from ..api.secret import SecretContent
from ..errors import Retrying
from .datasource import ResolvedSecrets

Secrets = Mapping[str, SecretContent | None]
"""Secret name -> its content, or None where it does not exist."""


def secret_names(spec: DataSourceSpec) -> frozenset[str]:
    """Names of all Secrets that a spec refers to."""
    return frozenset(
        [value.secret_key_ref.name for value in (spec.secure_json_data or {}).values()]
        + [source.secret_ref.name for source in spec.secure_json_data_from or []]
    )


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
        single = _single_value(secrets, source.secret_key_ref, f"spec.secureJsonData.{key}")
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
        revision=_revision(spec, secrets, values.keys()),
    )


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


def _single_value(secrets: Secrets, ref: SecretKeyRef, path: str) -> SecretStr | None:
    """The value, or None where an optional reference has none."""
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


def _revision(spec: DataSourceSpec, secrets: Secrets, keys: Iterable[str]) -> str | None:
    used = [secrets[name] for name in sorted(secret_names(spec))]
    if not used:
        return None
    facts = [[content.name, content.uid, content.resource_version] for content in used if content]
    return hashlib.sha256(json.dumps([facts, sorted(keys)]).encode()).hexdigest()[:32]
