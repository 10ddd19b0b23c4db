"""What the demo does as a user, and the proof it shows."""

import json
import time
from pathlib import Path
from typing import Any

import httpx

from tests.demo.servers import DIRECTORY, Demo, say
from tests.servers.polling import eventually

_ROOT = Path(__file__).parents[2]
_SECONDS = 60.0

_ROTATED = """
apiVersion: v1
kind: Secret
metadata:
  name: prometheus-auth
stringData:
  authorization: Bearer rotated
"""


def tell(demo: Demo) -> None:
    """Apply the examples, show them, then prove it: read back, rotate, edit by hand, delete."""
    kubectl = demo.kubernetes.kubectl
    _run(demo, "apply", "-f", "crds/")
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    say("Starting the operator: gdso run")
    demo.operator.start()
    eventually(
        lambda: kubectl.run("get", "grafanadatasources").returncode,
        lambda code: code == 0,
        within_seconds=_SECONDS,
        what="the new kind to be served",
    )
    say("\n$ kubectl apply -f -    # a GrafanaInstance, and a Secret with a token for it")
    say(kubectl("apply", "-f", "-", input=_instance(demo)).rstrip())
    _run(demo, "apply", "-f", "examples/")
    _run(demo, "wait", "--for=condition=Ready", "ginst,gds", "--all", "--timeout=60s")
    _run(demo, "get", "ginst,gds")
    with httpx.Client(base_url=demo.grafana.url, auth=demo.grafana.admin, trust_env=False) as http:
        _read_back(http)
        _rotate(demo, http)
        _edit_by_hand(demo, http)
        _delete(demo, http)


def say_where_to_look(demo: Demo, *, once: bool) -> None:
    """The end: what runs where, unless all of it stops now."""
    if once:
        say("\nDone; stopping everything (DEMO_ONCE=1).")
        return
    say(
        f"""
Everything is still running. Look around:
  export KUBECONFIG={demo.kubernetes.kubeconfig}
  kubectl get gds                      # the table above
  kubectl describe gds prometheus      # conditions and events
  {demo.grafana.url}     # Grafana, user {demo.grafana.admin[0]}, password {demo.grafana.admin[1]}
  {demo.operator.url}/metrics   # metrics of the operator
  less {(DIRECTORY / "operator.log").relative_to(_ROOT)}
Edit examples/*.yaml and `kubectl apply -f examples/` again; stop with `make demo-down`."""
    )


def _instance(demo: Demo) -> str:
    token = demo.grafana.create_token()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "grafana"},
        "stringData": {"token": token},
    }
    instance = {
        "apiVersion": "gdso.dev/v1beta1",
        "kind": "GrafanaInstance",
        "metadata": {"name": "main"},
        "spec": {"url": demo.grafana.url, "auth": {"tokenSecretRef": {"name": "grafana"}}},
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [secret, instance]})


def _run(demo: Demo, *arguments: str) -> None:
    """One kubectl command, shown as a user would type it, with what it prints."""
    say(f"\n$ kubectl {' '.join(arguments)}")
    shown = [str(_ROOT / a) if a in ("crds/", "examples/") else a for a in arguments]
    say(demo.kubernetes.kubectl(*shown, timeout_seconds=120).rstrip())


def _get(http: httpx.Client, uid: str) -> dict[str, Any] | None:
    answer = http.get(f"/api/datasources/uid/{uid}")
    return None if answer.status_code == 404 else dict(answer.raise_for_status().json())


def _read_back(http: httpx.Client) -> None:
    say("\nWhat Grafana holds (GET /api/datasources):")
    for held in http.get("/api/datasources").raise_for_status().json():
        say(f"  {held['uid']:<20} {held['type']:<12} {held['name']:<12} {held['url']}")


def _rotate(demo: Demo, http: httpx.Client) -> None:
    uid = "default_prometheus"
    before = (_get(http, uid) or {})["version"]
    say("\nRotating the Secret of the Prometheus ...")
    demo.kubernetes.kubectl("apply", "-f", "-", input=_ROTATED)
    after = eventually(
        lambda: (_get(http, uid) or {})["version"],
        lambda version: version > before,
        within_seconds=_SECONDS,
        what="the rotated Secret to be sent",
    )
    say(f"  Grafana's version of it went from {before} to {after}: the new value was sent.")
    _run(demo, "get", "events", "--field-selector=reason=SecretChanged")


def _edit_by_hand(demo: Demo, http: httpx.Client) -> None:
    uid = "loki"
    held = _get(http, uid) or {}
    say("\nSomebody edits the Loki in Grafana ...")
    http.put(f"/api/datasources/uid/{uid}", json={**held, "url": "http://elsewhere:3100"})
    say("  It would be seen at the next resync, in 10 minutes at the latest; now:")
    request = f"gdso.dev/reconcile-requested-at={time.time():.0f}"
    _run(demo, "annotate", "gds", "loki", "--overwrite", request)
    eventually(
        lambda: (_get(http, uid) or {})["url"],
        lambda url: url == held["url"],
        within_seconds=_SECONDS,
        what="the edit to be corrected",
    )
    say(f"  In Grafana: {held['url']} again.")
    _run(demo, "get", "events", "--field-selector=reason=DriftCorrected")


def _delete(demo: Demo, http: httpx.Client) -> None:
    _run(demo, "delete", "gds", "tempo", "--timeout=60s")
    gone = _get(http, "tempo") is None
    say(f"  In Grafana: {'gone, too' if gone else 'STILL THERE'}")
    if not gone:
        raise SystemExit(1)
