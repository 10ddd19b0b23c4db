"""Which data source in Grafana belongs to which resource: uid and owner mark."""

import hashlib
import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..api.grafana_json import DataSourceState
from ..api.names import OWNER_KEY

MAX_UID = 40
"""Width of Grafana's uid column; longer ones answer 400 or 500."""


def derive_uid(namespace: str, name: str) -> str:
    """Uid of a resource whose spec gives none: known before the first call, same after re-creation.

    The hashed form holds no `_`, so it never equals a plain one: names have no `_`.
    """
    plain = f"{namespace}_{name}"
    if len(plain) <= MAX_UID and "." not in plain:
        return plain
    digest = hashlib.sha256(plain.encode()).hexdigest()[:16]
    return f"{re.sub('[_.]', '-', plain[:23])}-{digest}"


class Owner(NamedTuple):
    """Value of the owner mark: which operator, and which resource of it."""

    owner_id: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(self)


def read_mark(state: DataSourceState) -> Owner | str | None:
    """The owner mark of a data source; a str where it is none of ours in form, None without."""
    mark = (state.json_data or {}).get(OWNER_KEY)
    if mark is None:
        return None
    parts = str(mark).split("/")
    return Owner(*parts) if len(parts) == 3 else str(mark)


class Claim(Enum):
    """Whose a data source with our uid is."""

    OURS = "ours"
    UNOWNED = "unowned"
    FOREIGN = "foreign"
    READ_ONLY = "read-only"


@dataclass(frozen=True, slots=True)
class Claimant:
    """The resource that asks.

    Attributes:
        owner: its mark.
        recorded_id: numeric id that its status records.
        accepted: former owner ids of this operator, whose marks are ours, too.
    """

    owner: Owner
    recorded_id: int | None
    accepted: frozenset[str] = frozenset()

    def wrote(self, mark: Owner | str) -> bool:
        """Whether `mark` is the one of this resource, now or formerly."""
        if not isinstance(mark, Owner):
            return False
        return mark == self.owner or (mark.owner_id in self.accepted and mark[1:] == self.owner[1:])


def judge_claim(state: DataSourceState, claimant: Claimant) -> Claim:
    """Decide whose `state` is; a read-only one is never ours to write."""
    if state.read_only:
        return Claim.READ_ONLY
    mark = read_mark(state)
    if mark is None:
        return Claim.OURS if state.id == claimant.recorded_id else Claim.UNOWNED
    return Claim.OURS if claimant.wrote(mark) else Claim.FOREIGN
