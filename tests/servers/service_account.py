"""Service accounts that may do what given RBAC manifests say, and nothing more."""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.servers.kubernetes import KubernetesServer
from tests.servers.polling import eventually

Json = dict[str, Any]

_API = "rbac.authorization.k8s.io"
_SECONDS = 30.0


def bound_role(
    account: str, home: str, name: str, rules: Sequence[Json], namespace: str | None = None
) -> list[Json]:
    """Manifests of a Role and its binding to the account of namespace `home`.

    Without `namespace` they are a ClusterRole and its binding.
    """
    scope = "Cluster" if namespace is None else ""
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    role = {
        "apiVersion": f"{_API}/v1",
        "kind": f"{scope}Role",
        "metadata": metadata,
        "rules": list(rules),
    }
    binding = {
        "apiVersion": f"{_API}/v1",
        "kind": f"{scope}RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": _API, "kind": role["kind"], "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": home}],
    }
    return [role, binding]


def apply_service_account(
    kubernetes: KubernetesServer,
    path: Path,
    namespace: str,
    name: str,
    rbac: Iterable[Json],
) -> Path:
    """Apply the account and `rbac`, and write its kubeconfig to `path`.

    Returns when the authorizer knows each binding to the account whose role is in `rbac`.
    """
    rbac = list(rbac)
    account: Json = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace},
    }
    manifests = {"apiVersion": "v1", "kind": "List", "items": [account, *rbac]}
    kubernetes.kubectl("apply", "-f", "-", input=json.dumps(manifests))
    user = f"system:serviceaccount:{namespace}:{name}"
    for arguments in _first_rights(rbac, namespace, name):
        eventually(
            partial(kubernetes.kubectl.run, "auth", "can-i", *arguments, "--as", user),
            lambda answer: answer.returncode == 0,
            within_seconds=_SECONDS,
            what=f"the authorizer to let {user} {' '.join(arguments)}",
        )
    return kubernetes.service_account_kubeconfig(path, namespace, name)


def _first_rights(rbac: list[Json], namespace: str, name: str) -> list[list[str]]:
    """One right of each binding to the account, as arguments of `kubectl auth can-i`."""
    roles = {_key(one["kind"], one["metadata"]): one for one in rbac if one["kind"] in _ROLES}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    rights = []
    for binding in rbac:
        if subject not in binding.get("subjects", []):
            continue
        reference, where = binding["roleRef"], binding["metadata"].get("namespace", "")
        is_local = reference["kind"] == "Role"
        key = (reference["kind"], where if is_local else "", reference["name"])
        rule = _first_rule(roles[key]) if key in roles else None
        if rule is not None:
            scope = ["--namespace", where] if where else ["--all-namespaces"]
            rights.append([*rule, *scope])
    return rights


_ROLES = ("Role", "ClusterRole")


def _key(kind: str, metadata: Json) -> tuple[str, str, str]:
    return kind, metadata.get("namespace", ""), metadata["name"]


def _first_rule(role: Json) -> list[str] | None:
    """Verb, resource and, where only some may be touched, a name; None for a role of URLs only."""
    for rule in role.get("rules", []):
        if resources := rule.get("resources"):
            group = rule.get("apiGroups", [""])[0]
            resource, _, subresource = resources[0].partition("/")
            named = f"{resource}.{group}" if group else resource
            if names := rule.get("resourceNames"):
                named = f"{named}/{names[0]}"
            options = ["--subresource", subresource] if subresource else []
            return [rule["verbs"][0], named, *options]
    return None
