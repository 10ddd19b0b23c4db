"""Make Grafana tokens through its API, as an administrator would."""

import secrets

import httpx


class NoTokensError(Exception):
    """This Grafana knows passwords only."""


def create_token(url: str, admin: tuple[str, str], role: str = "Admin", org_id: int = 1) -> str:
    """Of a new service account; of an API key where there are no service accounts (8.x)."""
    name = f"test-{secrets.token_hex(6)}"
    with httpx.Client(
        base_url=url,
        auth=admin,
        headers={"X-Grafana-Org-Id": str(org_id)},
        timeout=30,
        trust_env=False,
    ) as client:
        account = client.post("/api/serviceaccounts", json={"name": name, "role": role})
        if account.status_code == httpx.codes.NOT_FOUND:
            key = client.post("/api/auth/keys", json={"name": name, "role": role})
            if key.status_code == httpx.codes.NOT_FOUND:
                raise NoTokensError(f"{url} has neither service accounts nor API keys")
            return str(_accepted(key)["key"])
        tokens = f"/api/serviceaccounts/{_accepted(account)['id']}/tokens"
        return str(_accepted(client.post(tokens, json={"name": name}))["key"])


def _accepted(answer: httpx.Response) -> dict[str, object]:
    if not answer.is_success:
        raise RuntimeError(
            f"{answer.request.method} {answer.request.url} answered {answer.status_code}: "
            f"{answer.text[:500]}"
        )
    body: dict[str, object] = answer.json()
    return body
