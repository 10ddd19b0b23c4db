"""Who asks: basic auth of the one user, tokens of service accounts, and what each may do."""

import base64
import binascii
import secrets
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from tests.grafana_double.accounts import Role
from tests.grafana_double.answers import EarlyApiError
from tests.grafana_double.bodies import path_integer
from tests.grafana_double.storage import Storage
from tests.grafana_double.versions import BadCredential, Version

ADMIN_LOGIN = "admin"
_WRONG_PASSWORDS_UNTIL_LOCKED = 5
_LOCK_SECONDS = 300.0
_FIRST_ORGANIZATION = 1
_TOKEN, _DELETED_TOKEN, _ADMIN_OF = "token", "deleted token", "organization of the administrator"


_ALL = ["datasources:*"]
_ALL_AND_BUILT_IN = [*_ALL, "datasources:uid:grafana"]
_VIEWER: dict[str, list[str]] = {
    "datasources.id:read": _ALL,
    "datasources:query": _ALL_AND_BUILT_IN,
    "datasources:read": _ALL_AND_BUILT_IN,
    "orgs:read": [""],
}
_EDITOR = _VIEWER | {"datasources:explore": [""]}
_ADMIN = _EDITOR | {
    "datasources:create": [""],
    "datasources:delete": _ALL,
    "datasources:write": _ALL,
    "serviceaccounts:create": [""],
    "serviceaccounts:write": ["serviceaccounts:*"],
}
_SERVER_ADMIN = _ADMIN | {"orgs:create": [""], "provisioning:reload": ["provisioners:*"]}
_OF_ROLE: dict[Role, dict[str, list[str]]] = {
    Role.NONE: {},
    Role.VIEWER: _VIEWER,
    Role.EDITOR: _EDITOR,
    Role.ADMIN: _ADMIN,
}


def _permissions(role: Role, version: Version) -> dict[str, list[str]]:
    permissions = _OF_ROLE[role]
    if version.only_admins_read and role is not Role.ADMIN:
        return {key: scopes for key, scopes in permissions.items() if key != "datasources:read"}
    return permissions


@dataclass(frozen=True)
class Identity:
    """Who asks, in which organisation, with which permissions (action to scopes)."""

    org_id: int
    permissions: dict[str, list[str]]


@dataclass(frozen=True)
class Token:
    """A token of a service account, bound to one organisation."""

    id: int
    key: str
    name: str
    account_id: int
    org_id: int
    role: Role
    expires_at: float | None


class Credentials:
    """The passwords and tokens that open a Grafana."""

    def __init__(
        self, version: Version, admin_password: str, storage: Storage | None = None
    ) -> None:
        """With what `storage` holds."""
        self._version = version
        self._admin_password = admin_password
        self._storage = storage or Storage()
        self._admin_orgs = {_FIRST_ORGANIZATION, *cast("list[int]", self._storage.all(_ADMIN_OF))}
        tokens = cast("list[Token]", self._storage.all(_TOKEN))
        self._tokens = {token.key: token for token in tokens}
        self._deleted = set(cast("list[str]", self._storage.all(_DELETED_TOKEN)))
        # Those that were deleted count too: ids are not used again.
        self._last_token_id = len(self._tokens) + len(self._deleted)
        self._wrong_passwords: dict[str, list[float]] = defaultdict(list)

    def join(self, org_id: int) -> None:
        """Whoever creates an organisation becomes its administrator."""
        self._admin_orgs.add(org_id)
        self._storage.put(_ADMIN_OF, org_id, org_id)

    def tokens_of(self, account_id: int) -> list[Token]:
        return [token for token in self._tokens.values() if token.account_id == account_id]

    def add_token(
        self, account_id: int, org_id: int, role: Role, name: str, seconds_to_live: int
    ) -> Token:
        self._last_token_id += 1
        expires_at = time.time() + seconds_to_live if seconds_to_live else None
        key = f"glsa_{secrets.token_hex(16)}_{secrets.token_hex(4)}"
        token = Token(self._last_token_id, key, name, account_id, org_id, role, expires_at)
        self._tokens[key] = token
        self._storage.put(_TOKEN, key, token)
        return token

    def remove_token(self, token: Token) -> None:
        del self._tokens[token.key]
        self._deleted.add(token.key)
        self._storage.remove(_TOKEN, token.key)
        self._storage.put(_DELETED_TOKEN, token.key, token.key)

    def identify(self, request: web.Request) -> Identity:
        header = request.headers.get("Authorization")
        if not header:
            raise self._unauthorized(BadCredential.NONE)
        kind, _, value = header.partition(" ")
        if kind == "Bearer" and value:
            return self._identify_token(value, wanted_org(request))
        login, password = self._decoded(value if kind == "Basic" else "")
        if login == "api_key":
            return self._identify_token(password, wanted_org(request))
        return self._identify_user(login, password, wanted_org(request))

    def _decoded(self, value: str) -> tuple[str, str]:
        try:
            login, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            colon = ""
        if not colon:
            raise self._unauthorized(BadCredential.MALFORMED)
        return login, password

    def _identify_token(self, key: str, org_id: int | None) -> Identity:
        token = self._tokens.get(key)
        if token is None:
            deleted = key in self._deleted
            raise self._unauthorized(
                BadCredential.DELETED_TOKEN if deleted else BadCredential.TOKEN
            )
        if token.expires_at is not None and token.expires_at <= time.time():
            raise self._unauthorized(BadCredential.EXPIRED_TOKEN)
        if self._version.checks_org_of_token and org_id not in {None, token.org_id}:
            raise self._unauthorized(BadCredential.OTHER_ORG)
        return Identity(token.org_id, _permissions(token.role, self._version))

    def _identify_user(self, login: str, password: str, org_id: int | None) -> Identity:
        since = time.monotonic() - _LOCK_SECONDS
        wrong = [moment for moment in self._wrong_passwords[login] if moment > since]
        self._wrong_passwords[login] = wrong
        if len(wrong) >= _WRONG_PASSWORDS_UNTIL_LOCKED:
            raise self._unauthorized(BadCredential.PASSWORD)
        if login != ADMIN_LOGIN or password != self._admin_password:
            wrong.append(time.monotonic())
            raise self._unauthorized(BadCredential.PASSWORD)
        org_id = org_id or _FIRST_ORGANIZATION
        return Identity(org_id, _SERVER_ADMIN if org_id in self._admin_orgs else {})

    def _unauthorized(self, why: BadCredential) -> EarlyApiError:
        return EarlyApiError(*self._version.unauthorized[why])


def wanted_org(request: web.Request) -> int | None:
    """The organisation that a request names; what is not a positive number does not count."""
    named = (request.query.get("targetOrgId", ""), request.headers.get("X-Grafana-Org-Id", ""))
    numbers = [path_integer(text) or 0 for text in named]
    return next((number for number in numbers if number > 0), None)


def demand(identity: Identity, action: str, version: Version) -> None:
    """Refuse unless the permission is there; it is asked for before the object is looked up."""
    if action in identity.permissions:
        return
    if not version.names_missing_permission:
        raise EarlyApiError.because(403, "Permission denied")
    raise EarlyApiError(
        403,
        {
            "accessErrorId": f"ACE{secrets.randbelow(10**10):010}",
            "message": "You'll need additional permissions to perform this action. "
            f"Permissions needed: {action}",
            "title": "Access denied",
        },
    )
