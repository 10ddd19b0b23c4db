"""How an instance is reached: TLS, headers, credentials and organizations, and nothing beside."""

import base64
import secrets

import pytest

from tests.integration.instances import add_instance, names_in, on_instance, wait_instance_reason
from tests.integration.instances import standing_instances as standing_instances
from tests.integration.sandbox import (
    INSTANCE,
    NO_DEFAULT_INSTANCE,
    SECONDS,
    Json,
    Sandbox,
    ready_of,
)
from tests.integration.standing import shared_sandbox as shared_sandbox
from tests.servers.certificates import CertificateAuthority
from tests.servers.echo import EchoServer
from tests.servers.faults import ProxiedRequest, requests_of
from tests.servers.grafana import Grafana
from tests.servers.polling import eventually
from tests.servers.target import Target

AUTHORITY = CertificateAuthority("of the tests' Grafana")
OTHER_AUTHORITY = CertificateAuthority("of somebody else")
CERTIFICATE = AUTHORITY.issue_server()
NOT_TRUSTED = "its TLS certificate is not trusted, or not of this host"


def bearer(token: str) -> str:
    return f"Bearer {token}"


def wait_until_sent(
    target: Target, header: str, value: str, since: int, *, path: str = "/api/org"
) -> list[ProxiedRequest]:
    def sent() -> list[ProxiedRequest]:
        return [r for r in target.proxy.since(since) if r.headers.get(header) == value]

    return eventually(sent, bool, SECONDS, f"the new {header}")


def is_refused(shared: Sandbox, name: str, message: str) -> None:
    raw = wait_instance_reason(shared, name, "GrafanaUnreachable", message)
    assert ready_of(raw)["status"] == "False"


# --- TLS


def add_tls_target(shared: Sandbox, *, client_ca: bytes | None = None) -> Target:
    return shared.add_grafana(tls=CERTIFICATE.server_context(client_ca))


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_a_ca_of_ones_own_is_the_only_one_that_is_trusted(shared: Sandbox, kind: str) -> None:
    target, name = add_tls_target(shared), f"ca-{kind.lower()}"
    field = f"ca{kind}Ref"

    def put(authority: CertificateAuthority) -> None:
        values = {"ca.crt": authority.pem.decode()}
        if kind == "Secret":
            shared.apply_secret(name, values)
            shared.secret_values -= set(values.values())  # a certificate is no secret
        else:
            shared.apply_config_map(name, values)

    put(OTHER_AUTHORITY)
    shared.apply_instance(name, target, tls={field: {"name": name}})
    is_refused(shared, name, NOT_TRUSTED)
    # Nothing was sent over a connection that is not trusted.
    assert target.proxy.requests == []
    shared.apply(name, on_instance(name))
    shared.wait_for_reason(name, "GrafanaUnreachable")

    put(AUTHORITY)
    shared.wait_instance_ready(name)
    shared.wait_ready(name)
    assert names_in(target) == {name}


def test_without_a_ca_only_public_ones_are_trusted(shared: Sandbox) -> None:
    target = add_tls_target(shared)
    shared.apply_instance("public", target)
    is_refused(shared, "public", NOT_TRUSTED)
    shared.apply_instance("public", target, tls={"insecureSkipVerify": True})
    shared.wait_instance_ready("public")


def test_a_ca_that_is_no_certificate_is_named(shared: Sandbox) -> None:
    target = add_tls_target(shared)
    shared.apply_config_map("no-ca", {"ca.crt": "not a certificate"})
    shared.apply_instance("no-ca", target, tls={"caConfigMapRef": {"name": "no-ca"}})
    raw = wait_instance_reason(shared, "no-ca", "InvalidSpec")
    assert ready_of(raw)["message"].startswith("spec.tls: the CA holds no PEM certificate")
    shared.apply_config_map("no-ca", {"ca.crt": AUTHORITY.pem.decode()})
    shared.wait_instance_ready("no-ca")


def test_a_client_certificate_is_shown(shared: Sandbox) -> None:
    clients = CertificateAuthority("of clients")
    target = add_tls_target(shared, client_ca=clients.pem)
    shared.apply_config_map("mtls-ca", {"ca.crt": AUTHORITY.pem.decode()})
    trust: Json = {"caConfigMapRef": {"name": "mtls-ca"}}
    shared.apply_instance("mtls", target, tls=trust)
    is_refused(shared, "mtls", "no connection to Grafana")

    right, wrong = clients.issue_client("gdso"), OTHER_AUTHORITY.issue_client("gdso")
    tls = {**trust, "clientCertSecretRef": {"name": "mtls"}}
    for issued in (wrong, right):
        shared.apply_secret("mtls", {"tls.crt": issued.certificate, "tls.key": issued.key})
        shared.secret_values.add(issued.key.decode())
        shared.apply_instance("mtls", target, tls=tls)
        if issued is wrong:
            is_refused(shared, "mtls", "no connection to Grafana")
            assert target.proxy.requests == []
    shared.wait_instance_ready("mtls")
    shared.apply("mtls", on_instance("mtls"))
    shared.wait_ready("mtls")


def test_a_key_that_does_not_fit_its_certificate_is_named(shared: Sandbox) -> None:
    target = add_tls_target(shared)
    one, other = (AUTHORITY.issue_client(user) for user in ("one", "other"))
    shared.apply_secret("unfit", {"tls.crt": one.certificate, "tls.key": other.key})
    shared.secret_values.add(other.key.decode())
    shared.apply_instance("unfit", target, tls={"clientCertSecretRef": {"name": "unfit"}})
    wait_instance_reason(
        shared,
        "unfit",
        "InvalidSpec",
        "spec.tls: the client certificate and key do not fit each other",
    )


# --- headers


def test_headers_are_sent_with_each_request_and_follow_their_secret(shared: Sandbox) -> None:
    target = shared.add_grafana()
    shared.apply_secret("front-door", {"pass": "secret-of-the-front-door"})
    headers = {
        "X-Team": {"value": "observability"},
        "CF-Access-Client-Secret": {"secretKeyRef": {"name": "front-door", "key": "pass"}},
    }
    shared.apply_instance("headers", target, headers=headers)
    shared.wait_instance_ready("headers")
    shared.apply("headers", on_instance("headers"))
    shared.wait_ready("headers")
    for request in target.proxy.requests:
        assert request.headers["x-team"] == "observability"
        assert request.headers["cf-access-client-secret"] == "secret-of-the-front-door"
        assert request.headers["authorization"] == bearer(target.token)
        assert request.headers["x-grafana-org-id"] == str(target.org_id)
    mark = target.proxy.mark()
    shared.apply_secret("front-door", {"pass": "another-secret-of-the-door"})
    wait_until_sent(target, "cf-access-client-secret", "another-secret-of-the-door", mark)


# --- credentials


def test_a_token_that_is_replaced_is_used_at_once(shared: Sandbox) -> None:
    target = add_instance(shared, "rotates")
    shared.apply("rotates", on_instance("rotates"))
    shared.wait_ready("rotates")
    old, new = target.token, target.server.create_token(org_id=target.org_id)
    mark = target.proxy.mark()
    shared.apply_secret("rotates-token", {"token": new})
    (first, *_) = wait_until_sent(target, "authorization", bearer(new), mark)
    shared.apply("rotates", on_instance("rotates", url="http://elsewhere:3100"))
    shared.wait_ready("rotates")
    later = [r for r in target.proxy.since(mark) if r.time >= first.time]
    assert {r.headers["authorization"] for r in later} == {bearer(new)}
    assert bearer(old) not in {r.headers["authorization"] for r in later}
    assert target.held(shared.uid("rotates"))["url"] == "http://elsewhere:3100"


def test_a_token_that_is_refused_is_told_and_its_successor_is_used_at_once(
    shared: Sandbox,
) -> None:
    target = shared.add_grafana()
    shared.apply_secret("refused", {"token": f"glsa_{secrets.token_hex(16)}_00000000"})
    shared.apply_instance("refused", target, auth={"tokenSecretRef": {"name": "refused"}})
    shared.apply("refused", on_instance("refused"))
    wait_instance_reason(shared, "refused", "GrafanaUnauthorized", "HTTP 401")
    shared.wait_for_reason("refused", "GrafanaUnauthorized")
    assert names_in(target) == set()
    # A Secret made from a file may end with a newline.
    shared.apply_secret("refused", {"token": f"{target.token}\n"})
    shared.secret_values.add(target.token)
    shared.wait_instance_ready("refused")
    shared.wait_ready("refused")


def test_basic_auth_is_used_and_follows_its_secret(shared: Sandbox) -> None:
    target = shared.add_grafana()
    user, password = target.server.admin
    auth = {"basicAuthSecretRef": {"name": "admin"}}
    shared.apply_secret("admin", {"admin-user": user, "admin-password": "not-the-password"})
    shared.secret_values.discard(user)  # a word that many texts hold
    shared.apply_instance("basic", target, auth=auth)
    wait_instance_reason(shared, "basic", "GrafanaUnauthorized")
    mark = target.proxy.mark()
    shared.apply_secret("admin", {"admin-user": user, "admin-password": password})
    shared.secret_values -= {user, password}
    shared.wait_instance_ready("basic")
    sent = base64.b64encode(f"{user}:{password}".encode()).decode()
    assert wait_until_sent(target, "authorization", f"Basic {sent}", mark)
    shared.apply("basic", on_instance("basic"))
    shared.wait_ready("basic")
    assert names_in(target) == {"basic"}


def test_the_permission_that_is_lacking_is_named(shared: Sandbox) -> None:
    target = shared.add_grafana()
    viewer = target.server.create_token(role="Viewer", org_id=target.org_id)
    shared.apply_secret("viewer", {"token": viewer})
    shared.apply_instance("viewer", target, auth={"tokenSecretRef": {"name": "viewer"}})
    shared.apply("viewer", on_instance("viewer"))
    raw = shared.wait_for_reason("viewer", "GrafanaUnauthorized")
    assert "datasources:create" in ready_of(raw)["message"]
    assert names_in(target) == set()


# --- organizations


@pytest.mark.parametrize("auth", ["token", "basic"])
def test_nothing_is_written_to_an_organization_that_was_not_meant(
    shared: Sandbox, real_grafanas: list[Grafana], grafana: Grafana, auth: str
) -> None:
    """8.5 and 9.4 ignore the header with tokens, and would write to the token's organization."""
    for number, server in enumerate(real_grafanas or [grafana]):
        meant, other = shared.add_grafana(server), shared.add_grafana(server)
        name = f"org-{auth}-{number}"
        if auth == "token":
            shared.apply_secret(name, {"token": other.token})
            reference, org_id = {"tokenSecretRef": {"name": name}}, meant.org_id
        else:
            user, password = server.admin
            shared.apply_secret(name, {"admin-user": user, "admin-password": password})
            shared.secret_values -= {user, password}
            reference, org_id = {"basicAuthSecretRef": {"name": name}}, 987654
        shared.apply_instance(name, meant, auth=reference, orgId=org_id)
        shared.apply(name, on_instance(name))
        raw = shared.wait_until(
            name,
            lambda raw: ready_of(raw)["reason"].startswith("Grafana"),
            "to be refused",
        )
        assert ready_of(raw)["status"] == "False"
        raw = shared.wait_until(
            name,
            lambda raw: ready_of(raw)["reason"].startswith("Grafana"),
            "to be refused",
            kind=INSTANCE,
        )
        assert "orgId" not in raw["status"]
        assert meant.writes() == []
        assert (names_in(meant), names_in(other)) == (set(), set())
        if auth == "token":
            # With a token of the right organization, and without naming any, it is found.
            shared.apply_secret(name, {"token": meant.token})
            shared.wait_ready(name)
            assert (names_in(meant), names_in(other)) == ({name}, set())


def test_without_an_organization_it_is_that_of_the_credentials(shared: Sandbox) -> None:
    target = shared.add_grafana()
    shared.apply_instance("any-org", target, orgId=None)
    raw = shared.wait_instance_ready("any-org")
    assert raw["status"]["orgId"] == target.org_id
    assert {r.headers.get("x-grafana-org-id") for r in target.proxy.requests} == {None}


# --- nothing beside


def test_redirects_are_never_followed(shared: Sandbox, echo: EchoServer) -> None:
    target = add_instance(shared, "redirects")
    shared.apply("redirects", on_instance("redirects"))
    shared.wait_ready("redirects")
    elsewhere = {"Location": f"{echo.url}/login"}
    for status in (302, 307):
        fault = target.proxy.answer(
            status, elsewhere, matching=requests_of(path_prefix="/api/datasources")
        )
        shared.apply("redirects", on_instance("redirects", url=f"http://elsewhere:{status}"))
        shared.wait_for_reason("redirects", "GrafanaError", message=f"HTTP {status}")
        target.proxy.remove(fault)
        shared.wait_ready("redirects")
    assert echo.received == []


def test_proxies_of_the_environment_are_not_used(sandbox: Sandbox, echo: EchoServer) -> None:
    target = sandbox.add_grafana()
    variables = {name: echo.url for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")}
    sandbox.apply_instance("direct", target)
    sandbox.apply("direct", on_instance("direct"))
    sandbox.start_operator(**NO_DEFAULT_INSTANCE, **variables)
    sandbox.wait_ready("direct")
    assert names_in(target) == {"direct"}
    assert echo.received == []


def test_a_token_never_reaches_another_instance(shared: Sandbox) -> None:
    """Resources move between instances, and each change comes in two steps."""
    one, two = add_instance(shared, "pair-one"), add_instance(shared, "pair-two")
    for round_ in range(2):
        for name in ("pair-one", "pair-two"):
            shared.apply("mover", on_instance(name, url=f"http://elsewhere:{round_ + 1}"))
            shared.wait_ready("mover")
    for target in (one, two):
        sent = {request.headers["authorization"] for request in target.proxy.requests}
        assert sent == {bearer(target.token)}


# --- pace


def test_an_answer_that_does_not_come_in_time_is_not_waited_for(shared: Sandbox) -> None:
    target = shared.add_grafana()
    target.proxy.hang()
    shared.apply_instance("hangs", target, timeout="1s")
    is_refused(shared, "hangs", "Grafana did not answer within 1s")
    target.proxy.clear()
    shared.wait_instance_ready("hangs")


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_requests_are_under_way_than_it_allows(shared: Sandbox, most: int) -> None:
    name = f"narrow-{most}"
    target = add_instance(shared, name, maxConcurrentRequests=most)
    sources = [f"{name}-{number}" for number in range(6)]
    for source in sources:
        shared.apply(source, {**on_instance(name), "healthCheck": {"enabled": False}})
    for source in sources:
        shared.wait_ready(source)
    target.proxy.delay(0.3, requests_of("GET", "/api/datasources/uid/"))
    mark = target.proxy.mark()
    for source in sources:
        shared.request_reconcile(source) if source == sources[-1] else shared.annotate(
            source, "gdso.dev/reconcile-requested-at", "now"
        )
    reads = eventually(
        lambda: [r for r in target.requests(mark) if r.ended is not None],
        lambda found: len(found) >= len(sources),
        SECONDS,
        "a look at each",
    )
    assert most_at_once(reads) == most


def most_at_once(requests: list[ProxiedRequest]) -> int:
    return max(
        sum(1 for other in requests if other.time <= one.time < (other.ended or one.time))
        for one in requests
    )
