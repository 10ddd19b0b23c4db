"""One digest over all that a spec refers to: it changes when a write may be needed."""

import hashlib
import json
from collections.abc import Iterable, Mapping

from ..api.config_map import ConfigMapContent
from ..api.secret import SecretContent
from .inputs import Inputs, Needs


def digest_inputs(
    needs: Needs, inputs: Inputs, *, secret_keys: Iterable[str], filled: Iterable[str]
) -> str | None:
    """Digest over names, uids, resource versions and keys, never over values.

    Args:
        needs: what the spec refers to.
        inputs: what was found there.
        secret_keys: keys of secureJsonData that got a value.
        filled: pointers of the fields that got a value.

    Returns:
        None where nothing is referred to.
    """
    if not needs:
        return None
    facts: list[object] = [_facts(needs.secrets, inputs.secrets), sorted(secret_keys)]
    more: list[object] = [
        _facts(needs.config_maps, inputs.config_maps),
        [[name, inputs.uids[name]] for name in sorted(needs.data_sources)],
        sorted(filled),
    ]
    # Left out where empty: resources that use only Secrets keep the digest of earlier releases.
    facts += more if any(more) else []
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _facts(
    names: Iterable[str], contents: Mapping[str, SecretContent | ConfigMapContent | None]
) -> list[list[str]]:
    used = [contents[name] for name in sorted(names)]
    return [[content.name, content.uid, content.resource_version] for content in used if content]
