"""Blot values out of a text that Grafana wrote: it may repeat what we sent."""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

_BLOT = "…"
_SHORT = 4
"""Values shorter than this are blotted out only as whole words: the letter `a` is in any text."""


def blot_out(text: str, values: Iterable[str]) -> str:
    """`text` without any of `values`, plain, quoted or escaped as Go programs show them."""
    forms = {form for value in values if value for form in _forms(value)}
    # The longest first: one may be the beginning of another.
    for form in sorted(forms, key=len, reverse=True):
        if len(form) < _SHORT:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", _BLOT, text)
        else:
            text = text.replace(form, _BLOT)
    return text


def _forms(value: str) -> set[str]:
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value, safe=""),
        quote(value),
    }


def secrets_of_authorization(header: str) -> list[str]:
    """What must not be repeated of an Authorization header: the parameter, and the password."""
    scheme, _, parameter = header.partition(" ")
    if scheme != "Basic":
        return [parameter]
    try:
        _, _, password = base64.b64decode(parameter).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return [parameter]
    return [parameter, password]
