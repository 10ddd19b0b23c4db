"""What a GrafanaInstance refers to: each reference, and what is said where it has no value."""

from typing import Any

import pytest
from pydantic import SecretStr

from grafana_datasource_operator.api.instance import Instance, InstanceSpec, parse_instance
from grafana_datasource_operator.api.names import INSTANCE
from grafana_datasource_operator.api.reasons import Reason
from grafana_datasource_operator.errors import ReconcileError, Retrying, Stalled
from grafana_datasource_operator.grafana.connection import ConnectionSettings, Tls
from grafana_datasource_operator.grafana.credentials import Credentials, Token, UserPassword
from grafana_datasource_operator.kube.contents import ContentReader
from grafana_datasource_operator.kube.errors import NotFoundError
from grafana_datasource_operator.reconcile.instance_contents import (
    Contents,
    config_maps_of,
    secrets_of,
)
from tests.unit.builders import config_map, raw_resource, secret
from tests.unit.kube.pretended import PretendedApi, Sent
from tests.unit.virtual_time import in_virtual_time

Json = dict[str, Any]

URL = "https://grafana.example/sub"
TOKEN: Json = {"tokenSecretRef": {"name": "s"}}
BASIC: Json = {"basicAuthSecretRef": {"name": "s"}}


def _spec(**fields: Any) -> InstanceSpec:
    return InstanceSpec.model_validate({"url": URL, "auth": TOKEN, **fields})


_SECRET_REFERENCES: list[tuple[Json, str, str]] = [
    ({"auth": TOKEN}, "token", "spec.auth.tokenSecretRef"),
    ({"auth": {"tokenSecretRef": {"name": "s", "key": "k"}}}, "k", "spec.auth.tokenSecretRef"),
    ({"auth": BASIC}, "admin-user", "spec.auth.basicAuthSecretRef"),
    ({"auth": BASIC}, "admin-password", "spec.auth.basicAuthSecretRef"),
    (
        {"auth": {"basicAuthSecretRef": {"name": "s", "usernameKey": "u", "passwordKey": "p"}}},
        "p",
        "spec.auth.basicAuthSecretRef",
    ),
    ({"tls": {"caSecretRef": {"name": "s"}}}, "ca.crt", "spec.tls.caSecretRef"),
    ({"tls": {"caSecretRef": {"name": "s", "key": "k"}}}, "k", "spec.tls.caSecretRef"),
    ({"tls": {"clientCertSecretRef": {"name": "s"}}}, "tls.crt", "spec.tls.clientCertSecretRef"),
    ({"tls": {"clientCertSecretRef": {"name": "s"}}}, "tls.key", "spec.tls.clientCertSecretRef"),
    (
        {"headers": {"X-Team": {"secretKeyRef": {"name": "s", "key": "k"}}}},
        "k",
        "spec.headers[X-Team]",
    ),
]
_ALL_KEYS = ("token", "k", "u", "p", "admin-user", "admin-password", "ca.crt", "tls.crt", "tls.key")


def _contents(**secrets: Any) -> Contents:
    """The Secret `s`, with a value at every key unless told otherwise."""
    found = {"s": secret("s", data=dict.fromkeys(_ALL_KEYS, "value"))}
    return Contents(secrets={**found, **secrets}, config_maps={})


def _use(contents: Contents, spec: InstanceSpec) -> tuple[Credentials, ConnectionSettings]:
    return contents.credentials(spec.auth), contents.settings(spec)


def _refusal(contents: Contents, spec: InstanceSpec) -> ReconcileError:
    with pytest.raises(ReconcileError) as refused:
        _use(contents, spec)
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
    return refused.value


@pytest.mark.parametrize(("fields", "key", "path"), _SECRET_REFERENCES)
def test_each_reference_that_has_a_value_is_used(fields: Json, key: str, path: str) -> None:
    del key, path
    _use(_contents(), _spec(**fields))


@pytest.mark.parametrize(("fields", "key", "path"), _SECRET_REFERENCES)
def test_a_secret_that_is_missing_is_waited_for_by_its_field_and_name(
    fields: Json, key: str, path: str
) -> None:
    del key
    refused = _refusal(_contents(s=None), _spec(**fields))
    # The credentials are read first, and refer to the same Secret.
    assert path in refused.message or "spec.auth." in refused.message
    assert 'Secret "s" does not exist' in refused.message
    assert isinstance(refused, Retrying)
    assert refused.reason is Reason.WAITING_FOR_SECRET


@pytest.mark.parametrize("value", [None, "", b"\xff\xfe"], ids=["missing", "empty", "not text"])
@pytest.mark.parametrize(("fields", "key", "path"), _SECRET_REFERENCES)
def test_a_key_that_is_missing_empty_or_no_text_is_waited_for_by_its_name(
    fields: Json, key: str, path: str, value: Any
) -> None:
    data: dict[str, str | bytes] = dict.fromkeys(_ALL_KEYS, "value")
    if value is None:
        del data[key]
    else:
        data[key] = value
    refused = _refusal(_contents(s=secret("s", data=data)), _spec(**fields))
    assert refused.message.startswith(f"{path}: ")
    assert f'"{key}"' in refused.message
    assert '"s"' in refused.message
    assert isinstance(refused, Retrying)
    assert refused.reason is Reason.WAITING_FOR_SECRET
    said = {None: "has no key", "": "is empty"}.get(value, "is not UTF-8 text")
    assert said in refused.message


def test_what_is_no_base64_is_no_text() -> None:
    broken = secret("s", data={})
    broken = type(broken)("s", "u", "1", {"token": SecretStr("not base64!")})
    refused = _refusal(_contents(s=broken), _spec())
    assert "is not UTF-8 text" in refused.message
    assert "not base64!" not in refused.message


_CA: Json = {"tls": {"caConfigMapRef": {"name": "c"}}}


@pytest.mark.parametrize(
    "held", [None, config_map("c", data={}), config_map("c", data={"ca.crt": ""})]
)
def test_a_ca_that_is_missing_is_waited_for(held: Any) -> None:
    contents = Contents(secrets=_contents().secrets, config_maps={"c": held})
    refused = _refusal(contents, _spec(**_CA))
    assert isinstance(refused, Retrying)
    assert refused.reason is Reason.WAITING_FOR_CONFIG_MAP
    assert refused.message.startswith("spec.tls.caConfigMapRef: ")
    assert '"c"' in refused.message
    assert '"ca.crt"' in refused.message


def test_an_instance_without_credentials_is_refused() -> None:
    refused = _refusal(_contents(), _spec(auth={}))
    assert isinstance(refused, Stalled)
    assert refused.reason is Reason.INVALID_SPEC
    assert refused.message.startswith("spec.auth: ")


# --- what becomes of them -----------------------------------------------------------------------


def test_a_token_is_used_without_the_blanks_around_it() -> None:
    contents = _contents(s=secret("s", data={"token": " glsa_1\n"}))
    assert contents.credentials(_spec().auth) == Token(SecretStr("glsa_1"))


def test_user_and_password_are_used_as_they_are() -> None:
    data = {"admin-user": "me", "admin-password": " with blanks "}
    contents = _contents(s=secret("s", data=data))
    found = contents.credentials(_spec(auth=BASIC).auth)
    assert found == UserPassword("me", SecretStr(" with blanks "))


def test_what_is_not_said_has_its_default() -> None:
    assert _contents().settings(_spec()) == ConnectionSettings(URL, None, 10.0, Tls(), {}, 4)


def test_what_is_said_is_used() -> None:
    data = {"ca.crt": "CA", "tls.crt": "CERT", "tls.key": "KEY", "k": "hidden", "token": "t"}
    spec = _spec(
        orgId=3,
        timeout="1m30s",
        maxConcurrentRequests=7,
        tls={
            "caSecretRef": {"name": "s"},
            "clientCertSecretRef": {"name": "s"},
            "insecureSkipVerify": True,
        },
        headers={
            "X-Secret": {"secretKeyRef": {"name": "s", "key": "k"}},
            "X-Plain": {"value": "plain"},
        },
    )
    settings = _contents(s=secret("s", data=data)).settings(spec)
    assert settings == ConnectionSettings(
        URL,
        3,
        90.0,
        Tls(b"CA", b"CERT", SecretStr("KEY"), True),
        {"X-Secret": SecretStr("hidden"), "X-Plain": SecretStr("plain")},
        7,
    )
    assert "hidden" not in repr(settings)
    assert "KEY" not in repr(settings)


def test_a_ca_may_be_in_a_config_map() -> None:
    held = config_map("c", data={"ca.crt": "CA"})
    contents = Contents(secrets=_contents().secrets, config_maps={"c": held})
    assert contents.settings(_spec(**_CA)).tls == Tls(b"CA")


# --- what is read, and when that is another one -------------------------------------------------


def test_every_reference_is_named() -> None:
    spec = _spec(
        auth={"basicAuthSecretRef": {"name": "auth"}},
        tls={"caSecretRef": {"name": "ca"}, "clientCertSecretRef": {"name": "cert"}},
        headers={
            "A": {"secretKeyRef": {"name": "header", "key": "k"}},
            "B": {"value": "plain"},
        },
    )
    assert secrets_of(spec) == {"auth", "ca", "cert", "header"}
    assert secrets_of(_spec()) == {"s"}
    assert config_maps_of(spec) == frozenset()
    assert config_maps_of(_spec(**_CA)) == {"c"}


def _instance(**fields: Any) -> Instance:
    spec = {"url": URL, "auth": TOKEN, **fields}
    return parse_instance(raw_resource(kind=INSTANCE.kind, spec=spec, namespace="grafana"))


@in_virtual_time
async def test_all_is_read_from_the_instance_s_own_namespace() -> None:
    def serve(sent: Sent) -> Json:
        name = sent.path.rpartition("/")[2]
        if name == "s":
            raise NotFoundError(sent.path, 404)
        return {"metadata": {"name": name, "uid": "u", "resourceVersion": "7"}, "data": {}}

    api = PretendedApi(serve)
    contents = await Contents.read(ContentReader(api), _instance(**_CA))
    assert {sent.path for sent in api.sent} == {
        "/api/v1/namespaces/grafana/secrets/s",
        "/api/v1/namespaces/grafana/configmaps/c",
    }
    assert contents.secrets == {"s": None}
    assert contents.config_maps.keys() == {"c"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (secret("s", version="2", data={}), {}),
        (secret("s", uid="s-2", data={}), {}),
        (None, {}),
        (secret("s", data={}), config_map("c", version="2", data={})),
        (secret("s", data={}), config_map("c", uid="c-2", data={})),
        (secret("s", data={}), None),
    ],
)
def test_versions_differ_once_anything_has_changed(one: Any, other: Any) -> None:
    def versions(a: Any, b: Any) -> object:
        return Contents(secrets={"s": a}, config_maps={"c": b}).versions

    before = versions(secret("s", data={}), config_map("c", data={}))
    changed = config_map("c", data={}) if other == {} else other
    assert versions(one, changed) != before
    assert versions(secret("s", data={}), config_map("c", data={})) == before
    assert "value" not in repr(_contents().versions)
