"""Which urls, names and uids Grafana takes."""

import re

from tests.grafana_double.versions import Version

UID = re.compile(r"[a-zA-Z0-9_-]*")
_MAX_UID = 40
_MAX_NAME_BYTES = 190
_MAX_URL_BYTES = 255

_WITH_PROTOCOL = re.compile(r"[^:]*://")
_MSSQL = re.compile(r"[^\\:]+(?:\\[^:]+)?(?::\d+)?(?:;.+)?")

# What Go's url.Parse accepts, as far as it matters behind a protocol.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PARSED = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://(?P<authority>[^/?#]*)(?P<path>[^?#]*)", re.DOTALL)
_USER_INFO = re.compile(r"(?:[A-Za-z0-9._:~!$&'()*+,;=-]|%[0-9a-fA-F]{2})*")
_HOST = re.compile(
    r"""(?:[A-Za-z0-9._~!$&'()*+,;=:\[\]<>"-]|[^\x00-\x7f]|%[89a-fA-F][0-9a-fA-F])*"""
)
_PORT = re.compile(r"(?::\d*)?", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")


def is_valid_uid(uid: str) -> bool:
    return bool(UID.fullmatch(uid)) and len(uid) <= _MAX_UID


def is_name_too_long(name: str) -> bool:
    return len(name.encode()) > _MAX_NAME_BYTES


def is_url_too_long(url: str) -> bool:
    return len(url.encode()) > _MAX_URL_BYTES


def is_valid_url(version: Version, data_source_type: str, url: str) -> bool:
    if data_source_type in version.url_required and not url.strip():
        return False
    if data_source_type.lower() == "mssql":
        return bool(_MSSQL.fullmatch(url))
    return _go_parses(url if _WITH_PROTOCOL.match(url) else f"http://{url}")


def _go_parses(url: str) -> bool:
    parsed = _PARSED.match(url)
    if parsed is None or _CONTROL.search(url):
        return False
    user_info, _, host = parsed["authority"].rpartition("@")
    return (
        bool(_USER_INFO.fullmatch(user_info))
        and _is_host(host)
        and not _BAD_ESCAPE.search(parsed["path"])
    )


def _is_host(host: str) -> bool:
    _, bracket, port = host.rpartition("]")
    if not host.startswith("["):
        _, colon, port = host.rpartition(":")
        port = colon + port if colon else ""
    elif not bracket:
        return False
    return bool(_PORT.fullmatch(port)) and bool(_HOST.fullmatch(host))
