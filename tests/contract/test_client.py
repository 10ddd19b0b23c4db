"""Our client says the same things about every Grafana: each real server, each double."""

import contextlib
import dataclasses
import re
import secrets
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from grafana_datasource_operator.grafana import errors
from grafana_datasource_operator.grafana.capabilities import Capability
from grafana_datasource_operator.grafana.client import GrafanaClient
from grafana_datasource_operator.grafana.credentials import Token, UserPassword
from tests.conftest import StartProxy
from tests.contract.clients import Organization, body, hidden, open_client
from tests.servers.echo import EchoServer
from tests.servers.fault_proxy import FaultProxy
from tests.servers.grafana import Grafana
from tests.servers.grafana_choice import GrafanaPool, contract_choices
from tests.servers.grafana_homes import GrafanaMissingError
from tests.servers.grafana_provisioning import PROVISIONED_UID

PROBES = [
    "GET /api/datasources/uid/gdso-probe/health",
    "GET /api/datasources/uid/gdso-probe/correlations",
    "POST /api/datasources/uid/gdso-probe/correlations",
]


async def test_what_was_created_is_read_back(client: GrafanaClient, uid: str) -> None:
    wanted = body(
        uid,
        user="reader",
        database="metrics",
        basic_auth=True,
        basic_auth_user="scraper",
        with_credentials=True,
        json_data={"httpMethod": "POST", "gdso.dev/owner": "a/b/c", "deep": [{"x": [1, None]}]},
        secure_json_data=hidden(basicAuthPassword="from a test"),
    )
    created = await client.create_data_source(wanted)
    read = await client.get_data_source(uid)
    assert read is not None
    for name in ("uid", "name", "type", "access", "url", "user", "database", "json_data"):
        assert getattr(read, name) == getattr(wanted, name), name
    assert (read.basic_auth, read.basic_auth_user, read.with_credentials) == (True, "scraper", True)
    assert read.secret_keys == {"basicAuthPassword"}
    assert (read.version, read.read_only) == (1, False)
    assert (created.id, created.version) == (read.id, read.version)


async def test_what_is_not_there_is_none(client: GrafanaClient, uid: str) -> None:
    assert await client.get_data_source(uid) is None
    assert await client.get_data_source_by_name(f"name of {uid}") is None


@pytest.mark.parametrize("name", ["Prometheus (prod) ü 100%", "a/b?c#d", "..", "a+b &c", "."])
async def test_a_data_source_is_found_by_any_name(
    client: GrafanaClient, uid: str, name: str
) -> None:
    await client.create_data_source(body(uid, name=name))
    found = await client.get_data_source_by_name(name)
    assert found is not None
    assert found.uid == uid


@pytest.mark.parametrize("strange", ["no/such/uid", "..", ".", "a b?c#d", "%2e%2e%2f", "ü"])
async def test_a_strange_uid_stays_one_segment_of_the_path(
    organization: Organization, admin_token: Token, strange: str, fault_proxy_to: StartProxy
) -> None:
    proxy = fault_proxy_to(organization.grafana.url)
    async with open_client(proxy.url, admin_token, organization.id) as client:
        # Some servers call it invalid, others missing.
        with contextlib.suppress(errors.Rejected):
            assert await client.get_data_source(strange) is None
    (request,) = proxy.requests
    assert re.fullmatch(r"/api/datasources/uid/[^/?#]+", request.path)


async def test_an_update_replaces_all_but_the_secrets(client: GrafanaClient, uid: str) -> None:
    created = await client.create_data_source(
        body(uid, json_data={"a": 1, "b": 2}, secure_json_data=hidden(one="1", two="2"))
    )
    wanted = body(
        uid,
        name=f"another name of {uid}",
        url="http://elsewhere:9090",
        json_data={"b": 3},
        secure_json_data=hidden(three="3"),
        version=created.version,
    )
    updated = await client.update_data_source(created.id, wanted)
    read = await client.get_data_source(uid)
    assert read is not None
    assert (read.id, read.name, read.url) == (created.id, wanted.name, wanted.url)
    assert read.json_data == {"b": 3}
    assert read.secret_keys == {"one", "two", "three"}
    assert read.version == updated.version == created.version + 1


async def test_a_blanked_secret_is_not_listed_where_the_server_can_tell(
    client: GrafanaClient, organization: Organization, uid: str
) -> None:
    created = await client.create_data_source(body(uid, secure_json_data=hidden(a="1", b="2")))
    await client.update_data_source(created.id, body(uid, secure_json_data=hidden(b="")))
    read = await client.get_data_source(uid)
    assert read is not None
    assert read.secret_keys == ({"a"} if organization.has_uid_routes else {"a", "b"})


async def test_a_blanked_secret_reaches_the_back_end_no_more(
    client: GrafanaClient, organization: Organization, uid: str, echo: EchoServer
) -> None:
    headers = {"httpHeaderName1": "X-First", "httpHeaderName2": "X-Second"}
    plain = body(uid, url=echo.url, json_data=headers)
    sent = hidden(httpHeaderValue1="first value", httpHeaderValue2="second value")
    created = await client.create_data_source(dataclasses.replace(plain, secure_json_data=sent))
    # No request came between, so that no cache of Grafana holds the state before.
    blanked = dataclasses.replace(plain, secure_json_data=hidden(httpHeaderValue2=""))
    await client.update_data_source(created.id, blanked)
    async with httpx.AsyncClient(auth=organization.grafana.admin, trust_env=False) as admin:
        await admin.get(
            f"{organization.grafana.url}/api/datasources/proxy/{created.id}/api/v1/labels",
            headers={"X-Grafana-Org-Id": str(organization.id)},
        )
    assert echo.last_header("X-First") == "first value"
    assert not echo.last_header("X-Second")


async def test_updates_go_by_uid_where_the_server_can(
    organization: Organization, admin_token: Token, uid: str, fault_proxy_to: StartProxy
) -> None:
    proxy = fault_proxy_to(organization.grafana.url)
    async with open_client(proxy.url, admin_token, organization.id) as client:
        assert await client.supports(Capability.UPDATE_BY_UID) is organization.has_uid_routes
        created = await client.create_data_source(body(uid))
        await client.update_data_source(created.id, body(uid, url="http://elsewhere:9090"))
        await client.update_data_source(created.id, body(uid, url="http://yet-elsewhere:9090"))
    subject = f"uid/{uid}" if organization.has_uid_routes else str(created.id)
    asked = [f"{request.method} {request.path}" for request in proxy.requests]
    assert asked == [
        *PROBES[: 2 if organization.has_uid_routes else 3],
        "POST /api/datasources",
        f"PUT /api/datasources/{subject}",
        f"PUT /api/datasources/{subject}",
    ]


async def test_the_list_holds_every_data_source_as_far_as_it_tells_of_it(
    client: GrafanaClient, uid: str
) -> None:
    uids = [f"{uid}-{number}" for number in range(3)]
    for one in uids:
        wanted = body(
            one, basic_auth=True, basic_auth_user="u", json_data={"gdso.dev/owner": "a/b/c"}
        )
        await client.create_data_source(wanted)
    listed = {state.uid: state for state in await client.list_data_sources()}
    assert listed.keys() >= {*uids}
    for one in uids:
        read = await client.get_data_source(one)
        assert read is not None
        told = listed[one]
        for name in ("id", "name", "type", "access", "url", "basic_auth", "json_data", "read_only"):
            assert getattr(told, name) == getattr(read, name), name
        # What no list tells.
        assert (told.version, told.basic_auth_user, told.secret_keys) == (0, "", frozenset())


async def test_a_deleted_data_source_is_gone_and_deleting_it_again_says_so(
    client: GrafanaClient, uid: str
) -> None:
    await client.create_data_source(body(uid))
    await client.delete_data_source(uid)
    assert await client.get_data_source(uid) is None
    with pytest.raises(errors.NotFound):
        await client.delete_data_source(uid)


async def test_an_update_of_what_is_gone_is_not_found(client: GrafanaClient, uid: str) -> None:
    created = await client.create_data_source(body(uid))
    await client.delete_data_source(uid)
    with pytest.raises(errors.NotFound):
        await client.update_data_source(created.id, body(uid))


async def test_a_taken_uid_already_exists(client: GrafanaClient, uid: str) -> None:
    await client.create_data_source(body(uid))
    with pytest.raises(errors.AlreadyExists):
        await client.create_data_source(body(uid, name="a free name"))


async def test_a_taken_name_already_exists(client: GrafanaClient, uid: str) -> None:
    await client.create_data_source(body(uid))
    with pytest.raises(errors.AlreadyExists):
        await client.create_data_source(body(f"{uid}-2", name=f"name of {uid}"))
    assert await client.get_data_source(f"{uid}-2") is None


async def test_a_rename_to_a_taken_name_changes_nothing(client: GrafanaClient, uid: str) -> None:
    await client.create_data_source(body(uid))
    other = await client.create_data_source(body(f"{uid}-2"))
    with pytest.raises((errors.AlreadyExists, errors.ServerFault)):
        await client.update_data_source(other.id, body(other.uid, name=f"name of {uid}"))
    read = await client.get_data_source(other.uid)
    assert read is not None
    assert (read.name, read.version) == (other.name, other.version)


async def test_a_stale_version_is_a_version_conflict(client: GrafanaClient, uid: str) -> None:
    created = await client.create_data_source(body(uid))
    await client.update_data_source(created.id, body(uid, url="http://b:1", version=1))
    with pytest.raises(errors.VersionConflict):
        await client.update_data_source(created.id, body(uid, url="http://c:1", version=1))
    read = await client.get_data_source(uid)
    assert read is not None
    assert (read.url, read.version) == ("http://b:1", 2)


async def test_a_url_that_cannot_be_read_is_rejected_with_the_words_of_grafana(
    client: GrafanaClient, uid: str
) -> None:
    with pytest.raises(errors.Rejected, match=r"(?i)url"):
        await client.create_data_source(body(uid, url="http://[::1"))
    assert await client.get_data_source(uid) is None


async def test_a_big_json_data_makes_the_round_trip(client: GrafanaClient, uid: str) -> None:
    big = {f"key-{number}": "ä" * 90 for number in range(5_000)}
    created = await client.create_data_source(body(uid, json_data=big))
    assert created.json_data == big
    read = await client.get_data_source(uid)
    assert read is not None
    assert read.json_data == big


async def test_the_organization_is_the_one_of_the_credentials(
    client: GrafanaClient, organization: Organization
) -> None:
    assert await client.get_org_id() == organization.id


async def test_user_and_password_act_in_the_organization_that_is_asked_for(
    organization: Organization,
) -> None:
    user, password = organization.grafana.admin
    credentials = UserPassword(user, SecretStr(password))
    async with open_client(organization.grafana.url, credentials, organization.id) as client:
        assert await client.get_org_id() == organization.id


async def test_a_wrong_token_is_unauthorized_wherever_it_is_sent(
    organization: Organization, uid: str
) -> None:
    wrong = Token(SecretStr("glsa_" + secrets.token_hex(20)))
    async with open_client(organization.grafana.url, wrong, organization.id) as client:
        for call in (
            client.get_org_id(),
            client.get_data_source(uid),
            client.create_data_source(body(uid)),
            client.delete_data_source(uid),
            client.supports(Capability.UPDATE_BY_UID),
        ):
            with pytest.raises(errors.Unauthorized, match="credentials") as refused:
                await call
            assert wrong.token.get_secret_value() not in str(refused.value)


async def test_a_viewer_is_told_which_permission_it_lacks(
    client: GrafanaClient, organization: Organization, uid: str
) -> None:
    created = await client.create_data_source(body(uid))
    viewer_token = organization.token("Viewer")
    async with open_client(organization.grafana.url, viewer_token, organization.id) as viewer:
        for verb, call in (
            ("create", viewer.create_data_source(body(f"{uid}-2"))),
            ("write", viewer.update_data_source(created.id, body(uid, url="http://b:1"))),
            ("delete", viewer.delete_data_source(uid)),
        ):
            # 8.5 knows roles only, and names no permission.
            lacking = f"datasources:{verb}" if organization.has_uid_routes else "Permission denied"
            with pytest.raises(errors.PermissionDenied, match=lacking):
                await call
    assert await client.get_data_source(uid) == created


async def test_health_is_asked_by_uid_where_the_server_can(
    organization: Organization, admin_token: Token, uid: str, fault_proxy_to: StartProxy
) -> None:
    proxy = fault_proxy_to(organization.grafana.url)
    async with open_client(proxy.url, admin_token, organization.id) as client:
        created = await client.create_data_source(body(uid, type="loki", url="http://127.0.0.1:1"))
        answer = await client.check_health(uid, created.id)
    assert answer is not None
    assert answer.is_json
    assert answer.status != 200
    assert last_path(proxy, "GET") == (
        f"/api/datasources/uid/{uid}/health"
        if organization.has_uid_routes
        else f"/api/datasources/{created.id}/health"
    )


async def test_resources_are_asked_by_uid_where_the_server_can(
    organization: Organization,
    admin_token: Token,
    uid: str,
    echo: EchoServer,
    fault_proxy_to: StartProxy,
) -> None:
    proxy = fault_proxy_to(organization.grafana.url)
    async with open_client(proxy.url, admin_token, organization.id) as client:
        created = await client.create_data_source(body(uid, url=echo.url))
        answer = await client.get_resource(uid, created.id, "/api/v1/labels?match=up")
    assert last_path(proxy, "GET") == (
        f"/api/datasources/uid/{uid}/resources/api/v1/labels?match=up"
        if organization.has_uid_routes
        else f"/api/datasources/{created.id}/resources/api/v1/labels?match=up"
    )
    assert answer.is_json
    if answer.status == 200:  # the 8.5 build and the doubles have no plugin that serves any
        assert [request.path for request in echo.received] == ["/api/v1/labels?match=up"]


def last_path(proxy: FaultProxy, method: str) -> str:
    return [request.path for request in proxy.requests if request.method == method][-1]


async def test_nobody_at_the_address_is_unreachable(admin_token: Token) -> None:
    async with open_client("http://127.0.0.1:1", admin_token, 1) as client:
        with pytest.raises(errors.Unreachable, match="no connection"):
            await client.get_org_id()


async def test_another_path_of_the_server_is_no_grafana(
    organization: Organization, admin_token: Token, uid: str
) -> None:
    url = f"{organization.grafana.url}/no-such-sub-path"
    async with open_client(url, admin_token, organization.id) as client:
        with pytest.raises(errors.Unavailable):
            await client.get_data_source(uid)


# --- servers with a file-provisioned data source, and room for one more


@pytest.fixture(scope="module")
def full_organization(grafana_pool: GrafanaPool, contract_grafana: Grafana) -> Iterator[Grafana]:
    """Organization 1 holds a provisioned data source and may hold one more."""
    (choice,) = [
        choice
        for choice in contract_choices()
        if (choice.kind, choice.version) == (contract_grafana.kind, contract_grafana.version)
    ]
    settings = {"quota": {"enabled": "true", "org_data_source": "2"}}
    try:
        server = grafana_pool.make(choice, settings=settings, provisioned=True)
    except GrafanaMissingError as error:
        pytest.skip(str(error))
    with server:
        yield server


async def test_a_provisioned_data_source_is_read_only(full_organization: Grafana) -> None:
    token = Token(SecretStr(full_organization.create_token()))
    async with open_client(full_organization.url, token, 1) as client:
        provisioned = await client.get_data_source(PROVISIONED_UID)
        assert provisioned is not None
        assert provisioned.read_only
        changed = body(PROVISIONED_UID, type=provisioned.type, name=provisioned.name)
        with pytest.raises(errors.ReadOnly):
            await client.update_data_source(provisioned.id, changed)
        with pytest.raises(errors.ReadOnly):
            await client.delete_data_source(PROVISIONED_UID)
        assert await client.get_data_source(PROVISIONED_UID) == provisioned


async def test_one_more_than_the_quota_is_refused_and_does_not_appear(
    full_organization: Grafana, uid: str
) -> None:
    token = Token(SecretStr(full_organization.create_token()))
    async with open_client(full_organization.url, token, 1) as client:
        await client.create_data_source(body(uid))
        with pytest.raises(errors.QuotaReached):
            await client.create_data_source(body(f"{uid}-2"))
        assert await client.get_data_source(f"{uid}-2") is None
        # The quota is checked before the uid.
        with pytest.raises(errors.QuotaReached):
            await client.create_data_source(body(PROVISIONED_UID))
        await client.delete_data_source(uid)
