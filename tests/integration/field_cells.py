"""Cells of the field table: a field that is set, changed or unset, in spec or in Grafana by hand.

Specs and edits are templates: `%NAME%` is the resource, `%ECHO%` the address of an echo back end.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from tests.integration.sandbox import Json
from tests.integration.specs import LOKI, secret_key, sends_headers, whole_secret

Change = Literal["set", "change", "unset"]
Way = Literal["spec", "hand"]


@dataclass(frozen=True)
class Field:
    """A field, and how its cells come about.

    Attributes:
        base: spec without the field.
        one, other: parts of spec with it.
        by_hand: what somebody writes in Grafana; lacks what Grafana lets nobody do.
        is_required: there is no spec without it.
        stays: the name in Grafana, if what is left out of spec keeps its old value there.
        stays_before_9: that is so on old servers only.
        is_told: whether the resource says so.
        reaches_back_end: what a back end receives is compared, too.
        has_own_organization: there is only one of it in an organization.
    """

    base: Json
    one: Json
    other: Json
    by_hand: Mapping[Change, Json] = field(default_factory=dict)
    is_required: bool = False
    stays: str = ""
    stays_before_9: bool = False
    is_told: bool = True
    reaches_back_end: bool = False
    has_own_organization: bool = False


@dataclass(frozen=True)
class Cell:
    """What happens to one resource."""

    name: str
    field: Field
    change: Change
    way: Way
    before: Json
    after: Json
    edit: Json | None

    def left_over(self, *, is_old: bool) -> str:
        """The field in Grafana that is expected to keep a value that spec does not have."""
        leaves = (self.change, self.way) in {("unset", "spec"), ("set", "hand")}
        return self.field.stays if leaves and (is_old or not self.field.stays_before_9) else ""


def fill(template: Json, name: str, echo: str) -> Json:
    text = json.dumps(template).replace("%NAME%", name).replace("%ECHO%", echo)
    return cast("Json", json.loads(text))


def cells() -> Iterator[Cell]:
    for title, one in FIELDS.items():
        absent = {**QUIET, **one.base}
        first, second = {**absent, **one.one}, {**absent, **one.other}
        specs: dict[Change, tuple[Json, Json]] = {"change": (first, second)}
        if not one.is_required:
            specs |= {"set": (absent, first), "unset": (first, absent)}
        for change, (before, after) in specs.items():
            yield Cell(f"{title}, {change} in spec", one, change, "spec", before, after, None)
        for change, edit in one.by_hand.items():
            spec = absent if change == "set" else first
            yield Cell(f"{title}, {change} by hand", one, change, "hand", spec, spec, edit)


def _text(name: str, base: Json = LOKI, **more: object) -> Field:
    edits: dict[Change, Json] = {"set": {name: "hand"}, "change": {name: "hand"}}
    if not more.get("stays") or more.get("stays_before_9"):
        edits["unset"] = {name: ""}
    return Field(base, {name: "one"}, {name: "other"}, edits, **more)  # type: ignore[arg-type]


def _json(one: Json, other: Json, by_hand: Json, base: Json = LOKI) -> Field:
    edits: dict[Change, Json] = {
        "set": {"jsonData": by_hand},
        "change": {"jsonData": by_hand},
        "unset": {"jsonData": {}},  # our mark, too
    }
    return Field(base, {"jsonData": one}, {"jsonData": other}, edits)


def _value_from(path: str, kind: str, base: Json, by_hand: Mapping[Change, Json]) -> Field:
    def values(key: str) -> Json:
        source = {f"{kind}KeyRef": {"name": "values", "key": key}}
        return {"valuesFrom": [{"path": path, "valueFrom": source}]}

    return Field(base, values("one"), values("other"), by_hand)


def _to_logs(name: str) -> Json:
    return {"tracesToLogsV2": {"datasourceUid": {"dataSourceRef": {"name": name}}}}


QUIET: Json = {"healthCheck": {"enabled": False}}
_SENDS = sends_headers("%ECHO%/%NAME%", "X-Token")
_BASIC = {
    **_SENDS,
    "basicAuth": True,
    "secureJsonData": {"basicAuthPassword": secret_key("one", "token")},
}
_HAND: Mapping[Change, Json] = {
    "set": {"secureJsonData": {"httpHeaderValue1": "hand"}},
    "change": {"secureJsonData": {"httpHeaderValue1": "hand"}},
    "unset": {"secureJsonData": {"httpHeaderValue1": ""}},
}

SECRETS: Mapping[str, Mapping[str, str]] = {
    "one": {"token": "first-token"},
    "other": {"token": "second-token"},
    "whole-one": {"httpHeaderValue1": "first-whole-token"},
    "whole-other": {"httpHeaderValue1": "second-whole-token"},
    "values": {"one": "first-user", "other": "second-user"},
}
CONFIG_MAPS: Mapping[str, Mapping[str, str]] = {"values": {"one": "15s", "other": "30s"}}
REFERRED = ("logs-one", "logs-other")

FIELDS: Mapping[str, Field] = {
    "name": Field(
        LOKI,
        {"name": "one %NAME%"},
        {"name": "other %NAME%"},
        {"set": {"name": "hand %NAME%"}, "change": {"name": "hand %NAME%"}},
    ),
    "type": Field(
        {"url": "http://back-end:1"},
        {"type": "loki"},
        {"type": "graphite"},
        {"change": {"type": "tempo"}},
        is_required=True,
    ),
    "access": Field(
        LOKI,
        {"access": "direct"},
        {"access": "proxy"},
        {"set": {"access": "direct"}, "change": {"access": "proxy"}},
    ),
    "url": Field(
        LOKI,
        {"url": "http://one:1"},
        {"url": "http://other:1"},
        {"change": {"url": "http://hand:1"}},
        is_required=True,
    ),
    "url, not required": _text("url", {"type": "cloudwatch"}, stays="url"),
    "user": _text("user"),
    "database": _text("database", stays="database", stays_before_9=True),
    "basicAuth": Field(
        LOKI,
        {"basicAuth": True},
        {"basicAuth": False},
        {"set": {"basicAuth": True}, "change": {"basicAuth": False}},
    ),
    "basicAuthUser": _text("basicAuthUser", _BASIC, stays="basicAuthUser", reaches_back_end=True),
    "basicAuthUser without basicAuth": _text("basicAuthUser", LOKI, stays="basicAuthUser"),
    "withCredentials": Field(
        LOKI,
        {"withCredentials": True},
        {"withCredentials": False},
        {"set": {"withCredentials": True}, "change": {"withCredentials": False}},
    ),
    "jsonData": _json({"maxLines": 10}, {"maxLines": 20.5, "x": {}}, {"maxLines": "10"}),
    "a list in jsonData": _json(
        {"derivedFields": [{"name": "a"}, {"name": "b"}]},
        {"derivedFields": [{"name": "b"}, {"name": "a"}]},
        {"derivedFields": [{"name": "a"}]},
    ),
    "a key with odd characters in jsonData": _json(
        {"a/b~c": {"": [1, True]}}, {"a/b~c": {"": [True, 1]}}, {"a/b~c": {"": [1, 1]}}
    ),
    "secureJsonData": Field(
        _SENDS,
        {"secureJsonData": {"httpHeaderValue1": secret_key("one", "token")}},
        {"secureJsonData": {"httpHeaderValue1": secret_key("other", "token")}},
        _HAND,
        reaches_back_end=True,
    ),
    "secureJsonDataFrom": Field(
        _SENDS,
        {"secureJsonDataFrom": [whole_secret("whole-one")]},
        {"secureJsonDataFrom": [whole_secret("whole-other")]},
        _HAND,
        reaches_back_end=True,
    ),
    "valuesFrom a ConfigMap": _value_from(
        "/jsonData/timeInterval",
        "configMap",
        {"type": "prometheus", "url": "http://prometheus:9090"},
        {
            "set": {"jsonData": {"timeInterval": "99s"}},
            "change": {"jsonData": {"timeInterval": "99s"}},
            "unset": {"jsonData": {}},
        },
    ),
    "valuesFrom a Secret": _value_from(
        "/user", "secret", LOKI, {"set": {"user": "hand"}, "change": {"user": "hand"}}
    ),
    "dataSourceRef": _json(
        _to_logs("logs-one"),
        _to_logs("logs-other"),
        {"tracesToLogsV2": {"datasourceUid": "hand"}},
        {"type": "tempo", "url": "http://tempo:3200"},
    ),
    # Unset means: as Grafana has it.
    "isDefault": Field(
        LOKI,
        {"isDefault": True},
        {"isDefault": False},
        {"set": {"isDefault": True}, "change": {"isDefault": False}},
        stays="isDefault",
        is_told=False,
        has_own_organization=True,
    ),
}
