"""secureJsonData out of Secrets: which value wins, what waits, and what is never shown."""

import base64
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.api.secret import SecretContent
from grafana_datasource_operator.errors import Retrying
from grafana_datasource_operator.payload.secrets import ResolvedSecrets, Secrets, resolve_secrets
from tests.canary import find_leaks
from tests.unit.builders import SPEC, resource, secret

Json = dict[str, Any]


def _ref(name: str, key: str, **more: bool) -> Json:
    return {"secretKeyRef": {"name": name, "key": key, **more}}


def _whole(name: str, **more: bool) -> Json:
    return {"secretRef": {"name": name, **more}}


def _resolve(secrets: Secrets, **spec: Any) -> ResolvedSecrets:
    return resolve_secrets(resource(spec={**SPEC, **spec}).spec, secrets)


def _values(resolved: ResolvedSecrets) -> dict[str, str]:
    return {key: value.get_secret_value() for key, value in resolved.values.items()}


def _refusal(secrets: Secrets, **spec: Any) -> Retrying:
    with pytest.raises(Retrying) as refused:
        _resolve(secrets, **spec)
    assert refused.value.reason is Reason.WAITING_FOR_SECRET
    assert refused.value.message.endswith("; until then Grafana is left as it is")
    return refused.value


# --- which value --------------------------------------------------------------------------------


def test_a_spec_without_references_needs_no_secret() -> None:
    assert _resolve({}) == ResolvedSecrets()


def test_a_single_key_goes_where_the_spec_says() -> None:
    resolved = _resolve(
        {"auth": secret("auth", data={"token": "value-1", "unused": "value-2"})},
        secureJsonData={"httpHeaderValue1": _ref("auth", "token")},
    )
    assert _values(resolved) == {"httpHeaderValue1": "value-1"}


def test_single_keys_win_over_whole_secrets_and_later_ones_over_earlier() -> None:
    resolved = _resolve(
        {
            "first": secret("first", data={"a": "first-a", "b": "first-b", "c": "first-c"}),
            "second": secret("second", data={"b": "second-b", "c": "second-c"}),
            "single": secret("single", data={"k": "single-c"}),
        },
        secureJsonDataFrom=[_whole("first"), _whole("second")],
        secureJsonData={"c": _ref("single", "k")},
    )
    assert _values(resolved) == {"a": "first-a", "b": "second-b", "c": "single-c"}


@pytest.mark.parametrize(
    "value", ["line\n", "\n", "two\nlines\r\n", " spaces ", "ünïcödé €", '"quoted" \\', "\ufeffbom"]
)
def test_a_value_arrives_exactly_as_it_is_stored(value: str) -> None:
    secrets = {"s": secret("s", data={"k": value})}
    single = _resolve(secrets, secureJsonData={"a": _ref("s", "k")})
    whole = _resolve(secrets, secureJsonDataFrom=[_whole("s")])
    assert _values(single) == {"a": value}
    assert _values(whole) == {"k": value}


@given(st.text(min_size=1))
def test_any_text_arrives_exactly_as_it_is_stored(value: str) -> None:
    resolved = _resolve({"s": secret("s", data={"k": value})}, secureJsonData={"a": _ref("s", "k")})
    assert _values(resolved) == {"a": value}


# --- what is missing ----------------------------------------------------------------------------

_EMPTY = secret("auth", data={"token": ""})
_OTHER_KEY = secret("auth", data={"other": "value-1"})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, 'Secret "auth" does not exist'),
        (secret("auth", data={}), 'Secret "auth" has no key "token"'),
        (_OTHER_KEY, 'Secret "auth" has no key "token"'),
        (_EMPTY, 'key "token" of Secret "auth" is empty'),
    ],
)
def test_a_required_key_is_waited_for_by_name(content: SecretContent | None, problem: str) -> None:
    for more in [{}, {"optional": False}]:
        refusal = _refusal(
            {"auth": content}, secureJsonData={"password": _ref("auth", "token", **more)}
        )
        assert refusal.message.startswith(f"spec.secureJsonData.password: {problem}")


@pytest.mark.parametrize("content", [None, secret("auth", data={}), _OTHER_KEY, _EMPTY])
def test_an_optional_key_without_a_value_is_kept_as_grafana_has_it(
    content: SecretContent | None,
) -> None:
    resolved = _resolve(
        {"auth": content},
        secureJsonData={"password": _ref("auth", "token", optional=True)},
    )
    assert _values(resolved) == {}
    assert resolved.kept == {"password"}
    assert not resolved.keeps_all
    assert resolved.left_over(frozenset({"password", "old"})) == {"old"}


def test_an_optional_key_without_a_value_keeps_grafana_s_and_not_that_of_a_whole_secret() -> None:
    resolved = _resolve(
        {"all": secret("all", data={"password": "value-1", "more": "value-2"}), "auth": None},
        secureJsonDataFrom=[_whole("all")],
        secureJsonData={"password": _ref("auth", "token", optional=True)},
    )
    assert _values(resolved) == {"more": "value-2"}
    assert resolved.kept == {"password"}


def test_a_required_secret_taken_whole_is_waited_for_by_its_place() -> None:
    secrets = {"one": secret("one", data={"k": "value-1"}), "two": None}
    refusal = _refusal(secrets, secureJsonDataFrom=[_whole("one"), _whole("two")])
    assert refusal.message.startswith('spec.secureJsonDataFrom[1]: Secret "two" does not exist')


def test_a_required_secret_that_has_become_empty_does_not_blank_everything() -> None:
    refusal = _refusal({"s": secret("s", data={})}, secureJsonDataFrom=[_whole("s")])
    assert refusal.message.startswith('spec.secureJsonDataFrom[0]: Secret "s" is empty')


@pytest.mark.parametrize("content", [None, secret("s", data={})])
def test_while_an_optional_secret_taken_whole_has_no_keys_all_are_kept(
    content: SecretContent | None,
) -> None:
    resolved = _resolve(
        {"s": content, "t": secret("t", data={"k": "value-1"})},
        secureJsonDataFrom=[_whole("s", optional=True), _whole("t")],
    )
    assert _values(resolved) == {"k": "value-1"}
    assert resolved.left_over(frozenset({"k", "whatever"})) == frozenset()


def test_an_empty_key_of_a_secret_taken_whole_is_kept_as_grafana_has_it() -> None:
    resolved = _resolve(
        {"s": secret("s", data={"full": "value-1", "empty": ""})},
        secureJsonDataFrom=[_whole("s")],
    )
    assert _values(resolved) == {"full": "value-1"}
    assert resolved.kept == {"empty"}


def test_a_key_that_has_a_value_from_elsewhere_is_not_kept() -> None:
    resolved = _resolve(
        {"s": secret("s", data={"k": ""}), "t": secret("t", data={"k": "value-1"})},
        secureJsonDataFrom=[_whole("s"), _whole("t")],
    )
    assert _values(resolved) == {"k": "value-1"}
    assert resolved.kept == frozenset()


# --- what is never shown ------------------------------------------------------------------------

_BINARY = b"\xff\xfe-secret-bytes-\x80"


def _not_base64(name: str) -> SecretContent:
    return SecretContent(name, "s-1", "1", {"k": SecretStr("*secret* no base64")})


@pytest.mark.parametrize("content", [secret("s", data={"k": _BINARY}), _not_base64("s")])
@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"secureJsonData": {"cert": _ref("s", "k")}}, "spec.secureJsonData.cert"),
        (
            {"secureJsonData": {"cert": _ref("s", "k", optional=True)}},
            "spec.secureJsonData.cert",
        ),
        ({"secureJsonDataFrom": [_whole("s")]}, "spec.secureJsonDataFrom[0]"),
        ({"secureJsonDataFrom": [_whole("s", optional=True)]}, "spec.secureJsonDataFrom[0]"),
    ],
)
def test_bytes_that_are_no_text_are_refused_without_a_trace_of_them(
    content: SecretContent, spec: Json, path: str
) -> None:
    refusal = _refusal({"s": content}, **spec)
    assert refusal.message.startswith(f'{path}: key "k" of Secret "s" is not UTF-8 text')
    shown = "".join(traceback.format_exception(refusal)) + repr(vars(refusal))
    assert "secret-bytes" not in shown
    assert "*secret*" not in shown
    assert (refusal.__cause__, refusal.__context__) == (None, None)


@given(st.text("abcdefgh0123456789-", min_size=8, max_size=30))
def test_neither_results_nor_refusals_show_a_value(value: str) -> None:
    content = secret("s", data={"k": value, "empty": ""})
    single, whole = {"a": _ref("s", "k")}, [_whole("s")]
    resolved = _resolve({"s": content}, secureJsonData=single, secureJsonDataFrom=whole)
    missing = {**single, "b": _ref("s", "empty")}
    refusal = _refusal({"s": content}, secureJsonData=missing, secureJsonDataFrom=whole)
    shown = {
        "Secret": f"{content}{content!r}",
        "result": f"{resolved}{resolved!r}",
        "refusal": f"{refusal}{refusal!r}{''.join(traceback.format_exception(refusal))}",
    }
    assert find_leaks([value, base64.b64encode(value.encode()).decode()], shown) == []
