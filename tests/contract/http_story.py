"""A recorded story of requests, told to a server, and what of its answers has to be the same.

What varies from server to server is translated: a uid or id that the recorded server made up is
learned at its first appearance from what the other server made up at the same place, and replaced
in later paths, bodies and answers. Logos, error ids, tokens and times are compared by their kind.
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

CUT_MARK = "… (cut)"
_BIG_BODY = {
    "uid": "big",
    "name": "big",
    "type": "loki",
    "access": "proxy",
    "jsonData": {"x": "y" * 900_000},
}
_REDACTED = "glsa_REDACTED"


@dataclass(frozen=True)
class Row:
    """A recorded request with its answer."""

    case: str
    method: str
    path: str
    body: object
    headers: Mapping[str, str]
    status: int
    content_type: str | None
    response: object

    @property
    def is_cut(self) -> bool:
        """A huge answer was recorded as the beginning of its Python text."""
        return isinstance(self.response, str) and self.response[:1] in {"{", "["}


def read_rows(transcript: Path) -> list[Row]:
    rows = []
    for line in transcript.read_text().splitlines():
        raw = json.loads(line)
        rows.append(
            Row(
                case=raw["case"],
                method=raw["method"],
                path=raw["path"],
                body=raw["body"],
                headers=raw.get("headers") or {},
                status=raw["status"],
                content_type=raw["contentType"],
                response=raw["response"],
            )
        )
    return rows


@dataclass(frozen=True)
class Exchange:
    """A row next to what another server answered to it, both made comparable."""

    row: Row
    expected: object
    seen_status: int
    seen_content_type: str | None
    seen: object


def tell(rows: Iterable[Row], url: str, admin: tuple[str, str]) -> list[Exchange]:
    """Send every request in order, translated; nothing is judged here."""
    rows = list(rows)
    names = _Translation(_chosen_uids(rows))
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        return [_exchange(row, client, admin, names) for row in rows]


def _exchange(
    row: Row, client: httpx.Client, admin: tuple[str, str], names: "_Translation"
) -> Exchange:
    answer = client.send(_request(row, client, admin, names))
    seen = _parsed(answer)
    recorded = _complete(row.response) if row.is_cut else row.response
    names.learn(recorded, seen, _kind(row.path))
    return Exchange(
        row=row,
        expected=comparable(names.translated(recorded, kind=_kind(row.path))),
        seen_status=answer.status_code,
        seen_content_type=answer.headers.get("Content-Type"),
        seen=comparable(seen),
    )


def _request(
    row: Row, client: httpx.Client, admin: tuple[str, str], names: "_Translation"
) -> httpx.Request:
    headers = {key: names.with_token(value) for key, value in row.headers.items()}
    content: bytes | None = None
    if row.body is not None:
        headers["Content-Type"] = "application/json"
        content = _content(names.translated(row.body))
    request = client.build_request(
        row.method, names.translated_path(row.path), headers=headers, content=content
    )
    if "Authorization" not in headers and row.case != "auth.none":
        password = "wrong" if row.case == "auth.bad-basic" else admin[1]
        flow = httpx.BasicAuth(admin[0], password).auth_flow(request)
        return next(flow)
    return request


def _content(body: object) -> bytes:
    if isinstance(body, dict) and "_raw" in body:
        return str(body["_raw"]).encode()
    if isinstance(body, dict) and "_note" in body:
        return json.dumps(_BIG_BODY).encode()
    return json.dumps(body).encode()


def _parsed(answer: httpx.Response) -> object:
    try:
        return answer.json()
    except ValueError:
        return answer.text


# --- uids and ids that a server made up ---------------------------------------------------------


def _chosen_uids(rows: Iterable[Row]) -> frozenset[str]:
    """The uids that the story itself chooses: they have to come back as they are."""
    chosen = {"provd"}
    for row in rows:
        if isinstance(row.body, dict):
            chosen |= {value for value in row.body.values() if isinstance(value, str)}
    return frozenset(chosen)


def _kind(path: str) -> str:
    """Whose numeric ids an answer to this path shows."""
    return "tokens" if path.endswith("/tokens") else path.split("/")[2]


class _Translation:
    """From what the recorded server made up to what the present one did."""

    def __init__(self, chosen: frozenset[str]) -> None:
        self._chosen = chosen
        self._uids: dict[str, str] = {}
        self._ids: dict[tuple[str, int], int] = {}
        self._token = ""

    def learn(self, recorded: object, seen: object, kind: str) -> None:
        if isinstance(recorded, list) and isinstance(seen, list):
            for one, other in zip(recorded, seen, strict=False):
                self.learn(one, other, kind)
        if not isinstance(recorded, dict) or not isinstance(seen, dict):
            return
        for key in recorded.keys() & seen.keys():
            self._learn_value(key, recorded[key], seen[key], kind)

    def _learn_value(self, key: str, recorded: object, seen: object, kind: str) -> None:
        if key == "uid" and isinstance(recorded, str) and isinstance(seen, str):
            if recorded not in self._chosen:
                self._uids.setdefault(recorded, seen)
        elif key == "id" and isinstance(recorded, int) and isinstance(seen, int):
            self._ids.setdefault((kind, recorded), seen)
        elif key == "key" and recorded == _REDACTED:
            self._token = str(seen)
        else:
            self.learn(recorded, seen, kind)

    def translated(self, value: object, key: str = "", kind: str = "") -> object:
        if isinstance(value, dict):
            return {name: self.translated(item, name, kind) for name, item in value.items()}
        if isinstance(value, list):
            return [self.translated(item, key, kind) for item in value]
        if isinstance(value, str) and key.lower().endswith("uid"):
            return self._uids.get(value, value)
        if isinstance(value, int) and key == "id":
            return self._ids.get((kind, value), value)
        return value

    def translated_path(self, path: str) -> str:
        kind = path.split("/")[2]
        return "/".join(self._translated_part(part, kind) for part in path.split("/"))

    def _translated_part(self, part: str, kind: str) -> str:
        if part.isdecimal():
            return str(self._ids.get((kind, int(part)), int(part)))
        return self._uids.get(part, part)

    def with_token(self, header: str) -> str:
        """Tokens were redacted; the story always uses the one that it made last."""
        return header.replace(_REDACTED, self._token)


# --- what has to be the same --------------------------------------------------------------------

_KINDS = {
    "typeLogoUrl": re.compile(r"public/(app/)?plugins/.+"),
    "accessErrorId": re.compile(r"ACE\d{10}"),
    "commit": re.compile(r".+"),
    "key": re.compile(r"glsa_\w+"),
}
_FIRST_TIME_MILLISECONDS = 10**12


def comparable(value: object, key: str = "") -> object:
    """The value with everything that may differ reduced to its kind."""
    if isinstance(value, dict):
        if value and all(":" in name for name in value):
            # Permissions: the double knows those that have to do with data sources only.
            value = {name: set(scopes) for name, scopes in value.items() if "datasources" in name}
        return {name: comparable(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [comparable(item, key) for item in value]
    if isinstance(value, str) and key in _KINDS and _KINDS[key].fullmatch(value):
        return f"<{key}>"
    if isinstance(value, int) and key == "values" and value >= _FIRST_TIME_MILLISECONDS:
        return "<time>"
    return value


def _complete(text: object) -> object:
    """As much of a cut text as makes sense, with its brackets closed again."""
    kept = str(text).removesuffix(CUT_MARK)
    while kept:
        try:
            complete = ast.literal_eval(kept + _closing(kept))
            json.dumps(complete)
            return complete
        except (SyntaxError, ValueError, TypeError):
            kept = kept[: kept.rfind(",")] if "," in kept else ""
    return None


def _closing(text: str) -> str:
    opened: list[str] = []
    for character in re.sub(r"'[^']*'", "", text):
        if character in "[{":
            opened.append("]" if character == "[" else "}")
        elif character in "]}":
            opened.pop()
    return "".join(reversed(opened))


def beginning_of(seen: object, expected: object) -> object:
    """What of `seen` a cut answer has recorded."""
    if isinstance(seen, dict) and isinstance(expected, dict):
        return {key: beginning_of(seen.get(key), value) for key, value in expected.items()}
    if isinstance(seen, list) and isinstance(expected, list):
        return [beginning_of(one, other) for one, other in zip(seen, expected, strict=False)]
    return seen
