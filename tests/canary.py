"""Look for secret values, plain or disguised, wherever users and admins read."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Shorter values appear by chance."""


def disguises(value: str) -> dict[str, str]:
    """Ways in which a value may leak: name of the way -> text to look for."""
    raw = value.encode()
    plain = base64.b64encode(raw).decode()
    return {
        "raw": value,
        "base64": plain.rstrip("="),
        "base64url": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "URL-escaped": quote(value, safe=""),
        "form-escaped": quote_plus(value),
        "JSON-escaped": json.dumps(value)[1:-1],
        "MD5": hashlib.md5(raw).hexdigest(),
        "SHA-1": hashlib.sha1(raw).hexdigest(),
        "SHA-256": hashlib.sha256(raw).hexdigest(),
        "SHA-256 in base64": base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("="),
    }


def find_leaks(values: Iterable[str], places: Mapping[str, str]) -> list[str]:
    """Where any of `values` can be read; names the place and the way, not the value."""
    return [
        f"{place} holds a secret value ({way})"
        for value in values
        if len(value) >= SHORTEST
        for way, text in disguises(value).items()
        for place, content in places.items()
        if text in content
    ]
