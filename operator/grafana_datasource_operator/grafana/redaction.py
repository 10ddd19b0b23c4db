"""Blot values out of a text that Grafana wrote: it may repeat what we sent."""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

_BLOT = "…"
_HOST_AND_PORT = re.compile(r"[\w.-]+:[0-9]+")
_SHORT = 4
"""Values shorter than this are blotted out only as whole words: the letter `a` is in any text."""


def blot_out(text: str, values: Iterable[str]) -> str:
    """`text` without any of `values`, plain, quoted or escaped as Go programs show them."""
    parts = {part for value in values for part in (value, *_parts(value)) if part}
    forms = {form for part in parts for form in _forms(part)}
    # The longest first: one may be the beginning of another.
    for form in sorted(forms, key=len, reverse=True):
        if len(form) < _SHORT:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", _BLOT, text)
        else:
            text = text.replace(form, _BLOT)
    return text


def _parts(value: str) -> Iterable[str]:
    """Of a URL or `host:port`: what Grafana repeats of it when it says what it could not reach."""
    try:
        url = urlsplit(f"//{value}" if _HOST_AND_PORT.fullmatch(value) else value)
        host = url.hostname
    except ValueError:
        return ()
    if not host:
        return ()
    address = url.netloc.rpartition("@")[2]
    return (address, host, *(unquote(part) for part in (url.username, url.password) if part))


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
