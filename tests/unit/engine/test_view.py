"""What was last seen of each resource, what changed, and who refers to what."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_datasource_operator.api.names import (
    FINALIZER,
    FORCE_DELETE,
    RECONCILE_REQUESTED_AT,
    ObjectKey,
)
from grafana_datasource_operator.engine.view import Change, Reference, View, key_of
from tests.unit.builders import raw_resource

Json = dict[str, Any]

KEY = ObjectKey("GrafanaDataSource", "monitoring", "prometheus")


def _references(raw: Json) -> list[Reference]:
    namespace = raw["metadata"]["namespace"]
    return [Reference("Secret", namespace, name) for name in raw["spec"].get("secrets", [])]


def _view(*seen: Json) -> View:
    view = View(_references)
    for raw in seen:
        view.put(raw)
    return view


def _seen(**arguments: Any) -> Json:
    """A resource with everything on it, at version 10 unless said otherwise."""
    return raw_resource(
        **{
            "version": 10,
            "finalizers": [FINALIZER],
            "annotations": {"note": "a"},
            "labels": {"team": "a"},
            "status": {"observedGeneration": 1},
            **arguments,
        }
    )


def _using(*secrets: str, **arguments: Any) -> Json:
    return raw_resource(spec={"secrets": list(secrets)}, **arguments)


# --- what counts as a change --------------------------------------------------------------------


def test_what_was_not_there_before_is_new() -> None:
    view = _view()
    raw = _seen()
    assert view.put(raw) is Change.FIRST_SEEN
    assert view.get(KEY) is raw
    assert list(view) == [KEY] == [key_of(raw)]


@pytest.mark.parametrize(
    "changed",
    [
        {"generation": 2},
        {"deletionTimestamp": "2026-01-02T03:04:05Z"},
        {"annotations": {"note": "a", RECONCILE_REQUESTED_AT: "now"}},
        {"annotations": {"note": "a", FORCE_DELETE: "true"}},
        {"finalizers": []},
        {"finalizers": ["other/finalizer"]},
        {"uid": "22222222-0000-0000-0000-000000000000"},
    ],
)
def test_what_a_look_depends_on_is_a_change(changed: Json) -> None:
    view = _view(_seen())
    assert view.put(_seen(version=11, **changed)) is Change.CHANGED


@pytest.mark.parametrize(
    "changed",
    [
        {"status": {"observedGeneration": 2, "conditions": []}},
        {"status": None},
        {"labels": {"team": "b"}},
        {"annotations": {"note": "b"}},
        {"annotations": {}},
        {"ownerReferences": [{"name": "x"}]},
        {"finalizers": [FINALIZER, "other/finalizer"]},
        {"managedFields": [{"manager": "kubectl"}]},
    ],
)
def test_status_labels_and_other_metadata_are_none_but_are_remembered(changed: Json) -> None:
    view = _view(_seen())
    raw = _seen(version=11, **changed)
    assert view.put(raw) is Change.NONE
    assert view.get(KEY) is raw


def test_that_our_own_finalizer_appears_is_no_change() -> None:
    view = _view(_seen(finalizers=[]))
    assert view.put(_seen(version=11)) is Change.NONE


def test_that_another_finalizer_goes_is_no_change() -> None:
    view = _view(_seen(finalizers=[FINALIZER, "other/finalizer"]))
    assert view.put(_seen(version=11)) is Change.NONE


@pytest.mark.parametrize("value", ["later", ""])
def test_every_new_value_of_the_request_annotation_is_a_change(value: str) -> None:
    view = _view(_seen(annotations={RECONCILE_REQUESTED_AT: "now"}))
    again = _seen(version=11, annotations={RECONCILE_REQUESTED_AT: "now", "note": "b"})
    assert view.put(again) is Change.NONE
    other = _seen(version=12, annotations={RECONCILE_REQUESTED_AT: value})
    assert view.put(other) is Change.CHANGED


def test_labels_count_for_the_kinds_where_they_mean_something_alone() -> None:
    view = View(_references, labelled_kinds={"GrafanaInstance"})
    for kind, change in [("GrafanaInstance", Change.CHANGED), ("GrafanaDataSource", Change.NONE)]:
        view.put(_seen(kind=kind))
        assert view.put(_seen(kind=kind, version=11, labels={"team": "b"})) is change
        same = _seen(kind=kind, version=12, labels={"team": "b"}, annotations={"note": "b"})
        assert view.put(same) is Change.NONE


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 9, 10])
def test_an_older_event_is_ignored(version: int) -> None:
    raw = _seen()
    view = _view(raw)
    assert view.put(_seen(version=version, generation=7)) is Change.NONE
    assert view.get(KEY) is raw


def test_versions_are_numbers_and_not_texts() -> None:
    view = _view(_seen(version=9))
    assert view.put(_seen(version=10, generation=2)) is Change.CHANGED
    assert view.put(_seen(version=9, generation=3)) is Change.NONE


@given(st.lists(st.integers(1, 20), min_size=1))
def test_whatever_the_order_of_events_the_newest_is_kept(versions: list[int]) -> None:
    view = _view(*(_seen(version=version) for version in versions))
    kept = view.get(KEY)
    assert kept is not None
    assert kept["metadata"]["resourceVersion"] == str(max(versions))


def test_managed_fields_take_no_memory() -> None:
    view = _view(_seen(managedFields=[{"manager": "kubectl"}]))
    kept = view.get(KEY)
    assert kept is not None
    assert "managedFields" not in kept["metadata"]


# --- deletion -----------------------------------------------------------------------------------


def test_what_is_gone_is_gone() -> None:
    view = _view(_seen())
    assert view.remove(_seen(version=11)) is Change.GONE
    assert view.get(KEY) is None
    assert list(view) == []
    assert view.remove(_seen(version=11)) is Change.NONE


def test_a_deletion_that_was_told_late_leaves_the_namesake_made_since() -> None:
    namesake = _seen(uid="22222222-0000-0000-0000-000000000000", version=20)
    view = _view(_seen(), namesake)
    assert view.remove(_seen(version=15)) is Change.NONE
    assert view.get(KEY) is namesake


def test_a_deletion_that_was_never_told_shows_in_the_namesake() -> None:
    view = _view(_seen())
    namesake = _seen(uid="22222222-0000-0000-0000-000000000000", version=20)
    assert view.put(namesake) is Change.CHANGED
    assert view.get(KEY) is namesake


def test_a_resource_that_is_made_again_after_it_was_gone_is_new() -> None:
    view = _view(_seen())
    view.remove(_seen(version=11))
    assert view.put(_seen(uid="2", version=12)) is Change.FIRST_SEEN


# --- references ---------------------------------------------------------------------------------


def test_who_refers_to_something_is_known_as_of_the_last_event() -> None:
    auth, other = (Reference("Secret", "monitoring", name) for name in ("auth", "other"))
    view = _view(_using("auth", version=1), _using("auth", "other", name="loki", version=2))
    assert set(view.users_of(auth)) == {KEY, KEY._replace(name="loki")}
    assert view.users_of(other) == [KEY._replace(name="loki")]
    view.put(_using("other", version=3))
    assert view.users_of(auth) == [KEY._replace(name="loki")]
    assert set(view.users_of(other)) == {KEY, KEY._replace(name="loki")}


def test_references_of_what_is_gone_are_gone() -> None:
    view = _view(_using("auth"))
    view.remove(_using("auth"))
    assert view.users_of(Reference("Secret", "monitoring", "auth")) == []


@pytest.mark.parametrize(
    "other",
    [
        Reference("Secret", "elsewhere", "auth"),
        Reference("ConfigMap", "monitoring", "auth"),
        Reference("Secret", "monitoring", "auth2"),
    ],
)
def test_a_reference_is_of_one_kind_namespace_and_name(other: Reference) -> None:
    assert _view(_using("auth")).users_of(other) == []


def test_what_a_resource_refers_to_is_known_as_of_the_last_event() -> None:
    view = _view(_using("auth", version=1), _using("other", version=2))
    assert view.references_of(KEY) == {Reference("Secret", "monitoring", "other")}
    view.remove(_using("other", version=2))
    assert view.references_of(KEY) == frozenset()


def test_a_contested_thing_is_another_one_than_what_is_only_referred_to() -> None:
    plain = Reference("Secret", "monitoring", "auth")
    view = _view(_using("auth"))
    assert view.users_of(plain) == [KEY]
    assert view.users_of(plain._replace(is_contested=True)) == []


def test_an_old_event_does_not_bring_old_references_back() -> None:
    view = _view(_using("auth", version=5), _using("other", version=6))
    view.put(_using("auth", version=4))
    assert view.users_of(Reference("Secret", "monitoring", "auth")) == []


_events = st.tuples(
    st.sampled_from(["prometheus", "loki"]),
    st.sets(st.sampled_from(["auth", "other", "third"])),
    st.booleans(),
)


@given(st.lists(_events))
def test_references_in_reverse_are_those_of_the_objects(
    events: list[tuple[str, set[str], bool]],
) -> None:
    view, held = View(_references), dict[str, set[str]]()
    for version, (name, secrets, deleted) in enumerate(events, start=1):
        raw = _using(*secrets, name=name, version=version)
        if deleted:
            view.remove(raw)
            held.pop(name, None)
        else:
            view.put(raw)
            held[name] = secrets
    for secret in ("auth", "other", "third"):
        users = view.users_of(Reference("Secret", "monitoring", secret))
        assert {key.name for key in users} == {name for name in held if secret in held[name]}
        assert len(users) == len(set(users))
