"""Service accounts as they are kept."""

from dataclasses import dataclass
from enum import Enum
from typing import cast

from tests.grafana_double.storage import Storage

_ACCOUNT = "account"


class Role(Enum):
    """The role of a service account."""

    NONE = "None"
    VIEWER = "Viewer"
    EDITOR = "Editor"
    ADMIN = "Admin"


@dataclass(frozen=True)
class Account:
    """A service account of one organisation."""

    id: int
    uid: str
    org_id: int
    name: str
    role: Role


class Accounts:
    """All service accounts; ids are shared with users, of whom there is one."""

    def __init__(self, storage: Storage | None = None) -> None:
        """With what `storage` holds."""
        self._storage = storage or Storage()
        kept = cast("list[Account]", self._storage.all(_ACCOUNT))
        self._accounts = {account.id: account for account in kept}

    def add(self, uid: str, org_id: int, name: str, role: Role) -> Account:
        account = Account(len(self._accounts) + 2, uid, org_id, name, role)
        self._accounts[account.id] = account
        self._storage.put(_ACCOUNT, account.id, account)
        return account

    def find(self, org_id: int, account_id: int | None) -> Account | None:
        account = self._accounts.get(account_id or 0)
        return account if account is not None and account.org_id == org_id else None

    def has_name(self, org_id: int, name: str) -> bool:
        return any(one.org_id == org_id and one.name == name for one in self._accounts.values())
