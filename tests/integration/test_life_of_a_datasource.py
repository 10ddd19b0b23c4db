"""Create, update, delete: what Grafana holds, what status says, and what it costs."""

from tests.integration.sandbox import Sandbox

PROMETHEUS = {
    "type": "prometheus",
    "url": "http://prometheus:9090",
    "jsonData": {"httpMethod": "POST", "httpHeaderName1": "X-Token"},
    "secureJsonData": {"httpHeaderValue1": {"secretKeyRef": {"name": "auth", "key": "token"}}},
}


def test_create_update_and_delete_cost_the_promised_requests(sandbox: Sandbox) -> None:
    sandbox.start_operator()
    sandbox.apply_secret("auth", {"token": "first-secret-value"})
    uid = sandbox.uid("prometheus")

    kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()
    sandbox.apply("prometheus", PROMETHEUS)
    ready = sandbox.wait_ready("prometheus")
    assert sandbox.grafana_requests(grafana) == ["POST /api/datasources"]
    writes = sandbox.kubernetes_writes(kube)
    assert [(w.verb, w.subresource, w.code) for w in writes] == [
        ("patch", "", 200),
        ("patch", "status", 200),
    ]
    held = sandbox.in_grafana(uid)
    assert held is not None
    assert (held["name"], held["type"], held["url"]) == (
        "prometheus",
        "prometheus",
        "http://prometheus:9090",
    )
    assert held["secureJsonFields"] == {"httpHeaderValue1": True}
    assert ready["status"]["uid"] == uid
    assert ready["status"]["instances"][0]["id"] == held["id"]

    kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()
    sandbox.apply("prometheus", {**PROMETHEUS, "url": "http://elsewhere:9090"})
    sandbox.wait_ready("prometheus")
    assert sandbox.grafana_requests(grafana) == [
        f"GET /api/datasources/uid/{uid}",
        f"PUT /api/datasources/uid/{uid}",
    ]
    assert [w.subresource for w in sandbox.kubernetes_writes(kube)] == ["status"]
    held = sandbox.in_grafana(uid)
    assert held is not None
    assert held["url"] == "http://elsewhere:9090"

    kube, grafana = sandbox.audit.mark(), sandbox.proxy.mark()
    sandbox.delete("prometheus")
    sandbox.wait_gone("prometheus")
    assert sandbox.grafana_requests(grafana) == [
        f"GET /api/datasources/uid/{uid}",
        f"DELETE /api/datasources/uid/{uid}",
    ]
    assert [(w.verb, w.subresource) for w in sandbox.kubernetes_writes(kube)] == [("patch", "")]
    assert sandbox.in_grafana(uid) is None
