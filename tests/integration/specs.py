"""Parts of specs that tests are made of."""

from tests.integration.sandbox import Json

LOKI: Json = {"type": "loki", "url": "http://loki:3100"}
UNCHECKED: Json = {"healthCheck": {"enabled": False}}
"""Part of a spec whose status is compared: a check of its health may come at any time."""


def secret_key(secret: str, key: str, *, optional: bool | None = None) -> Json:
    """A value of secureJsonData."""
    reference: Json = {"name": secret, "key": key}
    return {"secretKeyRef": reference if optional is None else {**reference, "optional": optional}}


def whole_secret(secret: str, *, optional: bool | None = None) -> Json:
    """An entry of secureJsonDataFrom."""
    reference: Json = {"name": secret}
    return {"secretRef": reference if optional is None else {**reference, "optional": optional}}


def sends_headers(url: str, *names: str) -> Json:
    """A data source that sends headers to `url`, with values from httpHeaderValue1 and so on.

    A health check would let Grafana look it up, and go on with what it then holds for 5 s.
    """
    named = {f"httpHeaderName{number}": name for number, name in enumerate(names, start=1)}
    return {"type": "prometheus", "url": url, "jsonData": named, **UNCHECKED}
