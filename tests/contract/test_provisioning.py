"""What files do to data sources, on every real server and every double alike."""

from collections.abc import Iterator

import httpx
import pytest

from tests.servers.grafana import Grafana, GrafanaServer
from tests.servers.grafana_choice import GrafanaPool
from tests.servers.grafana_doubles import GrafanaDoubleServer
from tests.servers.grafana_homes import GrafanaMissingError
from tests.servers.process import ServerFailedError

Json = dict[str, object]
Server = GrafanaServer | GrafanaDoubleServer

HEAD = "apiVersion: 1\ndatasources:\n"
NOTHING = "apiVersion: 1\n"


@pytest.fixture(scope="module")
def server(grafana_pool: GrafanaPool, contract_grafana: Grafana) -> Iterator[Server]:
    """Whose files this module writes."""
    try:
        made = grafana_pool.make(grafana_pool.choice_of(contract_grafana))
    except GrafanaMissingError as error:
        pytest.skip(str(error))
    with made:
        yield made


@pytest.fixture
def admin(server: Server) -> Iterator[httpx.Client]:
    """Of an organization without data sources, which it leaves so."""
    with httpx.Client(
        base_url=f"{server.url}/api/", auth=server.admin, timeout=30, trust_env=False
    ) as client:
        yield client
        names = [source["name"] for source in client.get("datasources").json()]
        deleted = "".join(f"  - {{name: {name}}}\n" for name in names)
        server.provision_datasources(f"apiVersion: 1\ndeleteDatasources:\n{deleted}")
        server.reload_datasources()
        assert client.get("datasources").json() == []


def apply(server: Server, *entries: str, head: str = HEAD) -> None:
    lines = "".join(f"  - {{type: loki, {entry}}}\n" for entry in entries)
    server.provision_datasources(head + lines if entries else NOTHING)
    server.reload_datasources()


def refused(server: Server, *entries: str) -> None:
    with pytest.raises(httpx.HTTPStatusError) as raised:
        apply(server, *entries)
    assert raised.value.response.status_code == 500
    assert raised.value.response.json()["message"] == "Internal Server Error"


def make(admin: httpx.Client, uid: str, **fields: object) -> Json:
    body = {"uid": uid, "name": uid, "type": "loki", "access": "proxy", "url": "http://made:1"}
    admin.post("datasources", json={**body, **fields}).raise_for_status()
    return held(admin, uid)


def find(admin: httpx.Client, uid: str) -> Json | None:
    answer = admin.get(f"datasources/uid/{uid}")
    return None if answer.status_code == 404 else dict(answer.raise_for_status().json())


def held(admin: httpx.Client, uid: str) -> Json:
    found = find(admin, uid)
    assert found is not None
    return found


def put(admin: httpx.Client, held: Json, **fields: object) -> httpx.Response:
    return admin.put(f"datasources/{held['id']}", json={**held, **fields})


def is_new(server: Server) -> bool:
    return int(server.version.split(".")[0]) >= 12


# --- whose a data source is


def test_a_data_source_from_a_file_is_read_only_unless_it_says_editable(
    server: Server, admin: httpx.Client
) -> None:
    apply(
        server,
        "name: Closed, uid: closed, url: 'http://a:1'",
        "name: Open, uid: open, url: 'http://a:1', editable: true",
    )
    closed, opened = held(admin, "closed"), held(admin, "open")
    assert (closed["readOnly"], opened["readOnly"]) == (True, False)
    refusal = put(admin, closed, url="http://b:1")
    assert (refusal.status_code, refusal.json()) == (
        403,
        {"message": "Cannot update read-only data source"},
    )
    refusal = admin.delete("datasources/uid/closed")
    assert (refusal.status_code, refusal.json()) == (
        403,
        {"message": "Cannot delete read-only data source"},
    )
    put(admin, opened, url="http://b:1").raise_for_status()
    apply(server, "name: Open, uid: open, url: 'http://a:1', editable: true")
    assert held(admin, "open")["url"] == "http://a:1"


def test_one_that_left_its_file_stays_read_only_until_it_was_editable(
    server: Server, admin: httpx.Client
) -> None:
    entry = "name: Left, uid: left, url: 'http://a:1'"
    apply(server, entry)
    apply(server)
    left = held(admin, "left")
    assert left["readOnly"] is True
    assert put(admin, left).status_code == admin.delete("datasources/uid/left").status_code == 403
    apply(server, f"{entry}, editable: true")
    apply(server)
    put(admin, held(admin, "left")).raise_for_status()


def test_one_that_left_a_file_with_prune_goes_in_new_versions(
    server: Server, admin: httpx.Client
) -> None:
    head = f"apiVersion: 1\nprune: true\n{HEAD.removeprefix(NOTHING)}"
    url = "url: 'http://a:1'"
    apply(
        server,
        f"name: Closed, uid: closed, {url}",
        f"name: Edited, uid: edited, editable: true, {url}",
        head=head,
    )
    put(admin, held(admin, "edited")).raise_for_status()
    apply(server)
    assert (find(admin, "closed") is None) is is_new(server)
    # The API takes it out of what is pruned.
    assert find(admin, "edited") is not None


def test_a_file_deletes_by_name_also_what_is_read_only(server: Server, admin: httpx.Client) -> None:
    apply(server, "name: Doomed, uid: doomed")
    make(admin, "by-hand")
    server.provision_datasources(
        f"{NOTHING}deleteDatasources: [{{name: Doomed}}, {{name: by-hand, orgId: 1}}, {{name: no}}]"
    )
    server.reload_datasources()
    assert admin.get("datasources").json() == []


# --- onto what is there


def test_a_file_takes_over_what_has_its_name_and_uid(server: Server, admin: httpx.Client) -> None:
    ours = make(
        admin,
        "ours",
        user="u",
        database="d",
        basicAuthUser="b",
        jsonData={"gdso.dev/owner": "o/n/s", "a": 1},
        secureJsonData={"httpHeaderValue1": "old", "kept": "old"},
    )
    entry = "name: ours, uid: ours, jsonData: {b: 2}"
    apply(server, f"{entry}, secureJsonData: {{httpHeaderValue1: new}}")
    is_first, is_old = server.version.startswith("8."), not is_new(server)
    secrets = {"httpHeaderValue1", "kept"} if is_old and not is_first else {"httpHeaderValue1"}
    taken = held(admin, "ours")
    assert taken == {
        **ours,
        "user": "",
        "database": "d" if is_first else "",
        "isDefault": False,
        "jsonData": {"b": 2},
        "secureJsonFields": dict.fromkeys(secrets, True),
        "version": 1,
        "readOnly": True,
    }
    # Without any secrets in the file.
    apply(server, entry)
    assert held(admin, "ours")["secureJsonFields"] == dict.fromkeys(secrets if is_old else (), True)


def test_a_file_with_our_name_and_another_uid_fails_or_renames(
    server: Server, admin: httpx.Client
) -> None:
    ours = make(admin, "ours")
    if is_new(server):
        refused(server, "name: ours, uid: theirs")
        assert (held(admin, "ours"), find(admin, "theirs")) == (ours, None)
    else:
        apply(server, "name: ours, uid: theirs")
        assert find(admin, "ours") is None
        assert held(admin, "theirs")["id"] == ours["id"]


def test_a_file_with_our_uid_and_another_name_fails(server: Server, admin: httpx.Client) -> None:
    ours = make(admin, "ours")
    refused(server, "name: Before, uid: before", "name: theirs, uid: ours", "name: After")
    assert held(admin, "ours") == ours
    # What was done before the failure stays.
    assert {source["name"] for source in admin.get("datasources").json()} == {"ours", "Before"}


def test_a_file_without_uid_makes_one_of_the_name_and_keeps_one_that_is_there(
    server: Server, admin: httpx.Client
) -> None:
    make(admin, "kept")
    apply(server, "name: NoUid", "name: kept")
    assert {source["uid"] for source in admin.get("datasources").json()} == {
        "P5E85F8432469921A",
        "kept",
    }


def test_the_version_of_a_file_is_a_lock_in_new_versions(
    server: Server, admin: httpx.Client
) -> None:
    make(admin, "one")
    put(admin, held(admin, "one"), url="http://edited:1").raise_for_status()
    entry = "name: one, uid: one, editable: true"
    apply(server, f"{entry}, url: 'http://seven:1', version: 7")
    assert held(admin, "one")["version"] == (8 if is_new(server) else 1)
    apply(server, f"{entry}, url: 'http://three:1', version: 3")
    assert held(admin, "one")["url"] == ("http://seven:1" if is_new(server) else "http://three:1")
    apply(server, f"{entry}, url: 'http://none:1'")
    assert (held(admin, "one")["version"], held(admin, "one")["url"]) == (1, "http://none:1")


def test_the_default_of_a_file_is_taken_back_at_the_next_reload(
    server: Server, admin: httpx.Client
) -> None:
    apply(server, "name: First, uid: first, isDefault: true")
    before = held(admin, "first")
    usurper = make(admin, "usurper", isDefault=True)
    assert held(admin, "first") == {**before, "isDefault": False}
    server.reload_datasources()
    assert held(admin, "first") == before
    assert held(admin, "usurper") == {**usurper, "isDefault": False}


# --- what files may say


def test_scalars_access_and_dollars_are_read_as_grafana_reads_them(
    server: Server, admin: httpx.Client
) -> None:
    fields = "user: 12, url: 'http://$$x/$NOT_SET', jsonData: {a: '$$b', c: '${NOT_SET}d', n: 3}"
    apply(server, f"name: Odd, uid: odd, access: weird, {fields}")
    odd = held(admin, "odd")
    assert (odd["access"], odd["user"], odd["url"]) == ("proxy", "12", "http://$x/")
    assert odd["jsonData"] == {"a": "$b", "c": "d", "n": 3}


@pytest.mark.parametrize(
    "entries",
    [
        ["name: A, isDefault: true", "name: B, isDefault: true"],
        ["name: A", "name: B, orgId: 4711"],
    ],
    ids=["two defaults", "no such organization"],
)
def test_files_that_cannot_be_right_are_refused_before_anything_is_done(
    server: Server, admin: httpx.Client, entries: list[str]
) -> None:
    refused(server, *entries)
    assert admin.get("datasources").json() == []


def test_what_is_no_yaml_is_refused(server: Server, admin: httpx.Client) -> None:
    del admin  # it cleans up
    server.provision_datasources("apiVersion: 1\ndatasources: [\n")
    with pytest.raises(httpx.HTTPStatusError, match="500"):
        server.reload_datasources()


def test_correlations_from_a_file_come_and_go_with_it(server: Server, admin: httpx.Client) -> None:
    if server.version.startswith("8."):
        pytest.skip("8.5 has no correlations")
    declared = (
        "name: S, uid: s, correlations: [{targetUID: s, label: file, description: d, type: query, "
        "config: {type: query, field: f, target: {}}}]"
    )
    path = "datasources/uid/s/correlations"

    def labels() -> list[str]:
        answer = admin.get(path)
        return sorted(one["label"] for one in answer.json()) if answer.is_success else []

    apply(server, declared)
    assert labels() == ["file"]
    by_hand = {"targetUID": "s", "type": "query", "label": "hand"}
    made = admin.post(path, json={**by_hand, "config": {"type": "query", "field": "f"}})
    # Older versions let nobody add one to what is read-only.
    assert made.status_code == (200 if is_new(server) else 403)
    server.reload_datasources()
    assert labels() == (["file", "hand"] if is_new(server) else ["file"])
    apply(server, "name: S, uid: s")
    assert labels() == (["hand"] if is_new(server) else ["file"])


# --- who may, and when


def test_only_a_server_administrator_may_reload(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.create_token()}"}
    path = f"{server.url}/api/admin/provisioning/datasources/reload"
    assert httpx.post(path, headers=headers, trust_env=False).status_code == 403


def test_a_start_applies_the_files_and_fails_where_a_reload_would(
    server: Server, admin: httpx.Client
) -> None:
    make(admin, "ours")
    server.provision_datasources(f"{HEAD}  - {{name: theirs, uid: ours, type: loki}}\n")
    server.stop()
    try:
        with pytest.raises(ServerFailedError, match="provisioning error"):
            server.start()
    finally:
        server.provision_datasources(f"{HEAD}  - {{name: ours, uid: ours, type: loki}}\n")
        server.start()
    assert held(admin, "ours")["readOnly"] is True
