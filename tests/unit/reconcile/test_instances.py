"""Which Grafana a resource is meant for."""

from typing import TYPE_CHECKING, cast

import pytest
from grafana_datasource_operator.reconcile.instances import InstanceChoice

from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import Retrying, Stalled

if TYPE_CHECKING:
    from grafana_datasource_operator.grafana.instance import GrafanaInstance

DEFAULT = cast("GrafanaInstance", object())


def test_everybody_may_use_the_default_instance_unless_somebody_is_named() -> None:
    choice = InstanceChoice(DEFAULT)
    assert choice.choose("any") is DEFAULT
    assert choice.choose_for_deletion() is DEFAULT


def test_where_namespaces_are_named_only_these_may_use_it() -> None:
    choice = InstanceChoice(DEFAULT, frozenset({"monitoring"}))
    assert choice.choose("monitoring") is DEFAULT
    with pytest.raises(Stalled, match='namespace "other" may not use') as refused:
        choice.choose("other")
    assert refused.value.reason is Reason.INSTANCE_NOT_ALLOWED
    assert "GDSO_GRAFANA_ALLOWED_NAMESPACES" in refused.value.message


def test_what_is_no_longer_allowed_is_cleaned_up_all_the_same() -> None:
    assert InstanceChoice(DEFAULT, frozenset({"monitoring"})).choose_for_deletion() is DEFAULT


def test_without_a_default_instance_a_resource_waits_for_one() -> None:
    choice = InstanceChoice(None)
    with pytest.raises(Retrying, match="GDSO_GRAFANA_URL") as refused:
        choice.choose("any")
    assert refused.value.reason is Reason.WAITING_FOR_INSTANCE
    with pytest.raises(Retrying, match="GDSO_GRAFANA_URL"):
        choice.choose_for_deletion()


def test_whoever_may_not_use_the_instance_is_not_told_whether_there_is_one() -> None:
    texts = set()
    for default in (DEFAULT, None):
        with pytest.raises(Stalled) as refused:
            InstanceChoice(default, frozenset({"monitoring"})).choose("other")
        texts.add(refused.value.message)
    assert len(texts) == 1
