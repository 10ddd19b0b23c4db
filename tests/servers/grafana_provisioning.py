"""Data sources from files, which Grafana reads at its start and when its API says so."""

from pathlib import Path

import httpx

PROVISIONED_UID = "provd"

# As in the recorded transcripts: a data source and a correlation, both read-only.
PROVISIONED_YAML = f"""
apiVersion: 1
datasources:
  - name: Provisioned
    uid: {PROVISIONED_UID}
    type: loki
    access: proxy
    url: http://127.0.0.1:1
    editable: false
    correlations:
      - targetUID: {PROVISIONED_UID}
        label: pl
        description: pd
        type: query
        config: {{type: query, field: f, target: {{}}}}
"""


def write_datasources(folder: Path, yaml: str) -> None:
    """In place of what was written before."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.yaml").write_text(yaml)


def reload_datasources(url: str, admin: tuple[str, str]) -> None:
    """Have the files read again.

    Raises:
        httpx.HTTPStatusError: they cannot be applied; what was applied before stays.
    """
    path = f"{url}/api/admin/provisioning/datasources/reload"
    httpx.post(path, auth=admin, timeout=60, trust_env=False).raise_for_status()
