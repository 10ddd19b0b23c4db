"""The uid of a resource, its owner mark, and whose a data source is."""

import hashlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grafana_datasource_operator.api.names import OWNER_KEY
from grafana_datasource_operator.payload.datasource import uid_of
from grafana_datasource_operator.payload.identity import (
    MAX_UID,
    Claim,
    Claimant,
    Owner,
    derive_uid,
    judge_claim,
    read_mark,
)
from tests.strategies import names, namespaces
from tests.unit.builders import OWNER, resource, state

# Few letters and lengths around the limit: two pairs are then often nearly the same.
_near_namespaces = st.from_regex(r"[ab]([-ab]{0,24}[ab])?", fullmatch=True)
_near_names = st.from_regex(r"[ab]([-ab]{0,24}[ab])?(\.[ab]{1,3}){0,2}", fullmatch=True)
_pairs = st.tuples(_near_namespaces, _near_names) | st.tuples(namespaces, names)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("namespace", "name", "uid"),
    [
        ("monitoring", "prometheus", "monitoring_prometheus"),
        ("a", "b", "a_b"),
        ("n" * 20, "m" * 19, f"{'n' * 20}_{'m' * 19}"),
        ("n" * 20, "m" * 20, f"{'n' * 20}-mm-{_hash('n' * 20 + '_' + 'm' * 20)}"),
        ("n" * 63, "m", f"{'n' * 23}-{_hash('n' * 63 + '_m')}"),
        ("team", "loki.eu", f"team-loki-eu-{_hash('team_loki.eu')}"),
        ("team", "a.b.c", f"team-a-b-c-{_hash('team_a.b.c')}"),
        (
            "monitoring",
            "prometheus.region-1.example",
            f"monitoring-prometheus-r-{_hash('monitoring_prometheus.region-1.example')}",
        ),
    ],
)
def test_the_uid_is_made_of_namespace_and_name(namespace: str, name: str, uid: str) -> None:
    assert derive_uid(namespace, name) == uid


def test_the_uid_of_a_known_resource_stays_the_same_for_good() -> None:
    assert derive_uid("team", "loki.eu") == "team-loki-eu-b6f81cccf764e831"


@given(_pairs)
@example(("n" * 63, "m" * 253))
@example(("a" * 22, "b.c"))
def test_every_uid_is_one_that_grafana_takes(pair: tuple[str, str]) -> None:
    uid = derive_uid(*pair)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", uid)
    assert len(uid) <= MAX_UID


@given(_pairs)
def test_a_uid_holds_an_underscore_only_where_it_was_not_hashed(pair: tuple[str, str]) -> None:
    plain = "_".join(pair)
    uid = derive_uid(*pair)
    assert (uid == plain) is ("_" in uid)
    assert (uid == plain) is (len(plain) <= MAX_UID and "." not in plain)


@given(st.lists(_pairs, unique=True, min_size=2, max_size=30))
@example([("team", "loki.eu"), ("team", "loki-eu"), ("team-loki", "eu")])
@example([("a" * 30, "b" * 30), ("a" * 30, "b" * 31), ("a" * 31, "b" * 30)])
def test_two_resources_never_share_a_uid(pairs: list[tuple[str, str]]) -> None:
    assert len({derive_uid(*pair) for pair in pairs}) == len(pairs)


def test_the_uid_of_the_spec_wins() -> None:
    assert uid_of(resource(spec={"type": "loki", "uid": "Mine"})) == "Mine"
    assert uid_of(resource(spec={"type": "loki"})) == "monitoring_prometheus"


def test_the_mark_names_operator_and_resource() -> None:
    assert str(Owner("owner-1", "team", "loki")) == "owner-1/team/loki"


@pytest.mark.parametrize(
    ("json_data", "mark"),
    [
        (None, None),
        ({}, None),
        ({OWNER_KEY: None}, None),
        ({OWNER_KEY: "owner-1/team/loki"}, Owner("owner-1", "team", "loki")),
        ({OWNER_KEY: "terraform"}, "terraform"),
        ({OWNER_KEY: "a/b/c/d"}, "a/b/c/d"),
        ({OWNER_KEY: ""}, ""),
        ({OWNER_KEY: 7}, "7"),
    ],
)
def test_a_mark_is_ours_in_form_or_some_text_or_absent(
    json_data: dict[str, object] | None, mark: Owner | str | None
) -> None:
    assert read_mark(state(jsonData=json_data)) == mark


_OURS = {OWNER_KEY: str(OWNER)}
_NAMESAKE = {OWNER_KEY: f"owner-2/{OWNER.namespace}/{OWNER.name}"}
_SIBLING = {OWNER_KEY: f"{OWNER.owner_id}/{OWNER.namespace}/loki"}


@pytest.mark.parametrize(
    ("json_data", "recorded_id", "read_only", "claim"),
    [
        (_OURS, 7, False, Claim.OURS),
        (_OURS, None, False, Claim.OURS),
        (_OURS, 8, False, Claim.OURS),
        ({}, 7, False, Claim.OURS),
        (None, 7, False, Claim.OURS),
        ({OWNER_KEY: None}, 7, False, Claim.OURS),
        ({}, 8, False, Claim.UNOWNED),
        ({}, None, False, Claim.UNOWNED),
        (_NAMESAKE, 7, False, Claim.FOREIGN),
        (_NAMESAKE, None, False, Claim.FOREIGN),
        (_SIBLING, 7, False, Claim.FOREIGN),
        ({OWNER_KEY: "terraform"}, 7, False, Claim.FOREIGN),
        ({OWNER_KEY: ""}, 7, False, Claim.FOREIGN),
        (_OURS, 7, True, Claim.READ_ONLY),
        ({}, None, True, Claim.READ_ONLY),
        (_NAMESAKE, None, True, Claim.READ_ONLY),
    ],
)
def test_the_mark_decides_and_without_one_the_recorded_id(
    json_data: dict[str, object] | None, recorded_id: int | None, read_only: bool, claim: Claim
) -> None:
    held = state(id=7, jsonData=json_data, readOnly=read_only)
    assert judge_claim(held, Claimant(OWNER, recorded_id)) is claim


_FORMER = {OWNER_KEY: f"owner-0/{OWNER.namespace}/{OWNER.name}"}


@pytest.mark.parametrize(
    ("json_data", "claim"),
    [
        (_FORMER, Claim.OURS),
        (_OURS, Claim.OURS),
        ({}, Claim.UNOWNED),
        (_NAMESAKE, Claim.FOREIGN),
        (_SIBLING, Claim.FOREIGN),
        ({OWNER_KEY: f"owner-0/{OWNER.namespace}/loki"}, Claim.FOREIGN),
        ({OWNER_KEY: f"owner-0/team/{OWNER.name}"}, Claim.FOREIGN),
        ({OWNER_KEY: "owner-0"}, Claim.FOREIGN),
        ({OWNER_KEY: f"owner-0/{OWNER.namespace}/{OWNER.name}/more"}, Claim.FOREIGN),
    ],
)
def test_the_mark_of_a_former_owner_id_is_ours_for_the_same_resource_only(
    json_data: dict[str, object], claim: Claim
) -> None:
    claimant = Claimant(OWNER, None, frozenset({"owner-0", "owner-00"}))
    assert judge_claim(state(jsonData=json_data), claimant) is claim
    read_only = state(jsonData=json_data, readOnly=True)
    assert judge_claim(read_only, claimant) is Claim.READ_ONLY


def test_without_accepted_ids_a_former_mark_is_another_operator_s() -> None:
    assert judge_claim(state(jsonData=_FORMER), Claimant(OWNER, 7)) is Claim.FOREIGN
