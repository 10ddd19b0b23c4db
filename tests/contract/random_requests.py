"""Random requests that meet each other: few uids, few names, every kind of collision.

A request does not know which server it is for. Where it needs what only a server knows (a numeric
id, the uid of a correlation, a version), it has a placeholder that the server's session fills in.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Body = dict[str, object]


@dataclass(frozen=True)
class IdOf:
    """The numeric id that the data source with this uid had last."""

    uid: str


@dataclass(frozen=True)
class CorrelationMade:
    """The uid and source of one of the correlations made so far (the number goes round)."""

    number: int


@dataclass(frozen=True)
class VersionOf:
    """The version that the data source with this uid had last, plus something."""

    uid: str
    plus: int


@dataclass(frozen=True)
class Step:
    """One request; `path` may have one `{}` for the placeholder `at`."""

    method: str
    path: str
    at: str | IdOf | CorrelationMade = ""
    body: object = None


_NAME_OF = {"a": "Alpha", "b": "alpha", "c-d": "Gamma Delta", "E_f": "é"}
_UIDS = [*_NAME_OF]
_NAMES = [*_NAME_OF.values(), "Beta"]
_BAD_UIDS = ["x.y", "with blank", "a/b", "u" * 41]
_MISSING_UID = "nope"
CHOSEN_UIDS = frozenset([*_UIDS, *_BAD_UIDS, _MISSING_UID])

_TYPES = ["loki", "prometheus", "testdata", "postgres", "mssql", "no-such-plugin"]
_GOOD_URLS = ["localhost", "host:9090"]  # for every type
_ODD_URLS = [
    r"db\instance",
    "",
    " ",
    "http://127.0.0.1:9",
    "http://[::1",
    "http://a b",
    "h:x",
    "%zz",
    "://x",
]
_JSON_DATA: Sequence[object] = [
    None,
    {},
    {"httpMethod": "POST"},
    {"gdso.dev/owner": "o/n/s", "list": [1, {"b": None}], "big": 12345678901234567890},
    {"teamHttpHeaders": {"headers": {}}},
    {"httpHeaderName1": "X-Token", "n": 1.5, "t": True},
]
_SECRETS: Sequence[object] = [
    None,
    {},
    {"httpHeaderValue1": "s3cret"},
    {"httpHeaderValue1": ""},
    {"basicAuthPassword": "pw", "Password": "x"},
    {"basicAuthPassword": ""},
]
_MISFITS: Sequence[Body] = [
    {"basicAuth": "yes"},
    {"url": 5},
    {"secureJsonData": {"a": 1}},
    {"secureJsonData": {"a": None}},
    {"jsonData": [1]},
    {"jsonData": "text"},
    {"version": 1.5},
    {"version": "1"},
    {"access": None},
    {"access": ""},
    {"type": ""},
    {"name": ""},
    {"NAME": "Beta"},
    {"isDefault": None},
    {"name": "n" * 191},
    {"name": "é" * 96},
    {"url": "http://" + "u" * 250},
    {"readOnly": True, "id": 7, "orgId": 1},
]
_TRANSFORMATIONS: Sequence[object] = [
    None,
    [],
    [{"type": "logfmt"}],
    [{"type": "regex", "expression": "x=(.)", "field": "", "mapValue": "v", "more": 1}],
    [{"type": "regex"}],
    [{"type": "nope"}],
    [None],
    {},
]
_ODD_CONFIG: dict[str, Sequence[object]] = {
    "type": ["query", "query", "external", None, 1],
    "field": ["f", "", None, 1],
    "target": [{"expr": "up"}, {}, None, []],
    "transformations": _TRANSFORMATIONS,
}


class RandomRequests:
    """The same seed makes the same requests."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def steps(self) -> list[Step]:
        """8 to 60 of them, at first mostly creations: later ones need something to meet."""
        makers = [make for make, weight in self._weights() for _ in range(weight)]
        first = [self._create() for _ in range(5)]
        number = self._random.randint(3, 55)
        return first + [self._random.choice(makers)() for _ in range(number)]

    def _weights(self) -> list[tuple[Callable[[], Step], int]]:
        return [
            (self._create, 14),
            (self._update, 18),
            (self._read, 14),
            (self._list, 6),
            (self._delete, 4),
            (self._create_correlation, 14),
            (self._read_correlations, 8),
            (self._patch_correlation, 7),
            (self._delete_correlation, 3),
        ]

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _uid(self) -> str:
        return self._random.choice(_UIDS)

    def _any_uid(self) -> str:
        if self._chance(0.9):
            return self._uid()
        return self._random.choice([*_BAD_UIDS, _MISSING_UID])

    # --- data sources ---------------------------------------------------------------------------

    def _create(self) -> Step:
        uid = self._uid()
        body = self._body(uid)
        if self._chance(0.8):
            body["uid"] = uid
        elif self._chance(0.5):
            body["uid"] = self._random.choice(_BAD_UIDS)
        return Step("POST", "/api/datasources", body=body)

    def _update(self) -> Step:
        uid = self._uid()
        body = self._body(uid)
        if self._chance(0.5):
            body["uid"] = uid if self._chance(0.8) else self._any_uid()
        if self._chance(0.5):
            body["version"] = VersionOf(uid, self._random.choice([-9, -1, 0, 0, 0, 3]))
        if self._chance(0.5):
            return Step("PUT", "/api/datasources/{}", IdOf(uid), body)
        return Step("PUT", "/api/datasources/uid/{}", uid, body)

    def _body(self, uid: str) -> Body:
        body: Body = {
            "name": _NAME_OF[uid] if self._chance(0.75) else self._random.choice(_NAMES),
            "type": self._random.choice(_TYPES),
            "access": self._random.choice(["proxy", "direct"]),
            "url": self._random.choice(_GOOD_URLS if self._chance(0.85) else _ODD_URLS),
        }
        optional: dict[str, Sequence[object]] = {
            "user": ["", "u"],
            "database": ["", "d"],
            "basicAuth": [True, False],
            "basicAuthUser": ["", "b"],
            "withCredentials": [True, False],
            "isDefault": [True, False],
            "jsonData": _JSON_DATA,
            "secureJsonData": _SECRETS,
            "apiVersion": [""],
        }
        for key, values in optional.items():
            if self._chance(0.5):
                body[key] = self._random.choice(values)
        return body | self._random.choice(_MISFITS) if self._chance(0.1) else body

    def _read(self) -> Step:
        uid, name = self._any_uid(), self._random.choice(_NAMES)
        odd_id = self._random.choice(["0", "-1", "+1x", "x", "9" * 20])
        return self._random.choice(
            [
                Step("GET", "/api/datasources/uid/{}", uid),
                Step("GET", "/api/datasources/uid/{}", uid),
                Step("GET", "/api/datasources/name/{}", name),
                Step("GET", "/api/datasources/id/{}", name),
                Step("GET", "/api/datasources/{}", IdOf(uid)),
                Step("GET", "/api/datasources/{}", odd_id),
            ]
        )

    def _list(self) -> Step:
        return Step("GET", "/api/datasources")

    def _delete(self) -> Step:
        return self._random.choice(
            [
                Step("DELETE", "/api/datasources/uid/{}", self._any_uid()),
                Step("DELETE", "/api/datasources/name/{}", self._random.choice(_NAMES)),
                Step("DELETE", "/api/datasources/{}", IdOf(self._uid())),
            ]
        )

    # --- correlations ---------------------------------------------------------------------------

    def _create_correlation(self) -> Step:
        body = self._correlation()
        if self._chance(0.9):
            body.setdefault("targetUID", self._uid())
        if self._chance(0.95):
            body.setdefault("type", self._random.choice(["query", "query", "external"]))
        path = "/api/datasources/uid/{}/correlations"
        return Step("POST", path, self._uid() if self._chance(0.95) else _MISSING_UID, body)

    def _correlation(self) -> Body:
        body: Body = {}
        if self._chance(0.8):
            body["config"] = {"type": "query", "field": "f", "target": {"expr": "up"}}
        elif self._chance(0.9):
            body["config"] = {
                key: self._random.choice(values)
                for key, values in _ODD_CONFIG.items()
                if self._chance(0.6)
            }
        optional: dict[str, Sequence[object]] = {
            "targetUID": [_MISSING_UID, "", None],
            "type": ["query", "external", "weird", None],
            "label": ["l", "", None, 5],
            "description": ["d", ""],
        }
        for key, values in optional.items():
            if self._chance(0.15):
                body[key] = self._random.choice(values)
        return body

    def _made(self) -> CorrelationMade:
        return CorrelationMade(self._random.randrange(10))

    def _read_correlations(self) -> Step:
        page = self._random.choice(["1", "2", "x", "-1"])
        return self._random.choice(
            [
                Step("GET", "/api/datasources/correlations"),
                Step("GET", "/api/datasources/correlations?limit=2&page={}", page),
                Step("GET", "/api/datasources/correlations?sourceUID={}", self._uid()),
                Step("GET", "/api/datasources/uid/{}/correlations", self._any_uid()),
                Step("GET", "/api/datasources/uid/{}", self._made()),
            ]
        )

    def _patch_correlation(self) -> Step:
        return Step("PATCH", "/api/datasources/uid/{}", self._made(), self._correlation())

    def _delete_correlation(self) -> Step:
        return Step("DELETE", "/api/datasources/uid/{}", self._made())
