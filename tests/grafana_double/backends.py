"""How Grafana reaches the back end of a data source, with the caches that make it reach it late.

A write shows at the back end within 5 s, because data sources are looked up through a cache. What
is sent along is kept per data source until its time of update changes, which has whole seconds:
after two writes within one second what the first one brought may stay in use for good.
"""

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import aiohttp
from multidict import CIMultiDict

from tests.grafana_double.state import DataSource, Grafana, Organization

_LOOKUP_SECONDS = 5.0


class Lookups:
    """Data sources as they were up to 5 s ago; a deleted one is still found."""

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[float, DataSource]] = {}
        self._by_uid: dict[tuple[int, str], tuple[float, DataSource]] = {}

    def with_uid(self, org: Organization, uid: str, *, fresh: bool) -> DataSource | None:
        if not fresh and (found := _alive(self._by_uid.get((org.id, uid)))):
            return found
        return self._remember(org.with_uid(uid))

    def with_id(self, org: Organization, number: int, *, fresh: bool) -> DataSource | None:
        if not fresh and (found := _alive(self._by_id.get(number))) and found.org_id == org.id:
            return found
        return self._remember(org.with_id(number))

    def _remember(self, source: DataSource | None) -> DataSource | None:
        if source is None:
            return None
        entry = (time.monotonic() + _LOOKUP_SECONDS, replace(source))
        self._by_id[source.id] = self._by_uid[source.org_id, source.uid] = entry
        return entry[1]


def _alive(entry: tuple[float, DataSource] | None) -> DataSource | None:
    return entry[1] if entry is not None and entry[0] > time.monotonic() else None


@dataclass(frozen=True)
class Transport:
    """What goes along with every request to a back end."""

    updated: int
    authorization: str | None
    headers: tuple[tuple[str, str], ...]

    def apply(self, headers: CIMultiDict[str]) -> None:
        if self.authorization is not None:
            headers.setdefault("Authorization", self.authorization)
        for name, value in self.headers:
            headers[name] = value


class Backends:
    """The connections of one Grafana to back ends: those of its proxy, or those of its plugins."""

    def __init__(self, grafana: Grafana) -> None:
        self._grafana = grafana
        self._transports: dict[int, Transport] = {}
        self._decrypted: dict[int, tuple[int, dict[str, str]]] = {}

    def transport(self, source: DataSource) -> Transport:
        known = self._transports.get(source.id)
        if known is not None and known.updated == source.updated:
            return known
        made = Transport(source.updated, self._authorization(source), self._headers(source))
        self._transports[source.id] = made
        return made

    def secrets(self, source: DataSource) -> dict[str, str]:
        if self._grafana.version.keeps_decrypted_secrets:
            updated, kept = self._decrypted.get(source.id, (None, {}))
            if updated == source.updated:
                return kept
            self._decrypted[source.id] = source.updated, source.secrets
            return source.secrets
        # Stored by the name of the data source, and never out of date.
        named = self._grafana.organizations[source.org_id].with_name(source.name)
        return named.secrets if named is not None else source.secrets

    def _authorization(self, source: DataSource) -> str | None:
        secrets = self.secrets(source)
        if source.basic_auth:
            return basic(source.basic_auth_user, secrets.get("basicAuthPassword", ""))
        if source.user:
            return basic(source.user, secrets.get("password", ""))
        return None

    def _headers(self, source: DataSource) -> tuple[tuple[str, str], ...]:
        secrets = self.secrets(source)
        return tuple((name, secrets[key]) for name, key in _header_names(source) if key in secrets)


def _header_names(source: DataSource) -> Iterator[tuple[str, str]]:
    """Custom headers, up to the first gap in their numbering."""
    settings = source.json_data if isinstance(source.json_data, dict) else {}
    number = 1
    while isinstance(name := settings.get(f"httpHeaderName{number}"), str) and name:
        yield name, f"httpHeaderValue{number}"
        number += 1


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass
class Connections:
    """Everything that a handler needs to reach a back end."""

    session: aiohttp.ClientSession
    lookups: Lookups
    proxied: Backends
    plugins: Backends
