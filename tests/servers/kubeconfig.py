"""Write a kubeconfig file for one server and one user."""

import base64
import json
from pathlib import Path
from typing import Any

from tests.servers.certificates import Issued, write_private


def write_kubeconfig(
    path: Path,
    *,
    server: str,
    ca: bytes | None,
    token: str | None = None,
    client: Issued | None = None,
    namespace: str | None = None,
) -> Path:
    """`ca` None is for plain http, as towards a proxy; JSON is YAML enough for every reader."""
    cluster: dict[str, Any] = {"server": server}
    if ca is not None:
        cluster["certificate-authority-data"] = base64.b64encode(ca).decode()
    user: dict[str, Any] = {}
    if token is not None:
        user["token"] = token
    if client is not None:
        user["client-certificate-data"] = base64.b64encode(client.certificate).decode()
        user["client-key-data"] = base64.b64encode(client.key).decode()
    context: dict[str, Any] = {"cluster": "test", "user": "test"}
    if namespace is not None:
        context["namespace"] = namespace
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": context}],
        "current-context": "test",
    }
    write_private(path, json.dumps(config, indent=2).encode())
    return path
