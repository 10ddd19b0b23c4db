"""What a handler gets, and where it stands in the API."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web

from tests.grafana_double.accounts import Accounts
from tests.grafana_double.auth import Credentials, Identity
from tests.grafana_double.backends import Connections
from tests.grafana_double.state import Grafana, Organization
from tests.grafana_double.versions import Version


@dataclass(frozen=True)
class Call:
    """One authenticated request."""

    request: web.Request
    grafana: Grafana
    credentials: Credentials
    accounts: Accounts
    connections: Connections
    identity: Identity

    @property
    def version(self) -> Version:
        return self.grafana.version

    @property
    def org(self) -> Organization:
        return self.grafana.organizations[self.identity.org_id]

    @property
    def skips_cache(self) -> bool:
        return self.request.headers.get("X-Grafana-NoCache") == "true"

    def path_part(self, name: str) -> str:
        # Decoded here, because the router leaves some escapes alone.
        return unquote(self.request.match_info[name])


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


REST = "/{rest:.*}"
"""The end of a path that takes whatever follows."""


def in_every_version(_version: Version) -> bool:
    return True


def with_uid_routes(version: Version) -> bool:
    return version.has_uid_routes


@dataclass(frozen=True)
class Route:
    """A route of the API, and the permission that it asks for before anything else."""

    method: str
    path: str
    action: str | None
    handler: Handler
    exists: Callable[[Version], bool] = in_every_version

    @property
    def takes_rest_of_path(self) -> bool:
        return self.path.endswith(REST)
