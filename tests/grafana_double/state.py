"""What a Grafana holds: organisations, data sources, correlations."""

import random
import string
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from tests.grafana_double.storage import Storage
from tests.grafana_double.versions import Version

_ORGANIZATION, _SOURCE, _CORRELATION = "organization", "data source", "correlation"
_LAST_ID = "last id of a data source"
_UID_CHARACTERS = string.ascii_lowercase + string.digits


@dataclass(eq=False)
class DataSource:
    """A row of the table `data_source`, with its secrets in clear."""

    id: int
    uid: str
    org_id: int
    name: str
    type: str
    access: str
    url: str = ""
    user: str = ""
    database: str = ""
    basic_auth: bool = False
    basic_auth_user: str = ""
    with_credentials: bool = False
    is_default: bool = False
    json_data: object = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    version: int = 1
    read_only: bool = False
    is_prunable: bool = False
    """From a file with `prune: true`, and not changed by the API since."""
    api_version: str = ""
    updated: int = field(default_factory=lambda: int(time.time()))
    """In whole seconds, as databases keep it."""

    def touch(self) -> None:
        self.updated = int(time.time())


class Organization:
    """An organisation with its data sources, found by uid, name and id alike."""

    def __init__(self, org_id: int, name: str, storage: Storage) -> None:
        self.id = org_id
        self.name = name
        self._storage = storage
        self._by_id: dict[int, DataSource] = {}
        self._by_uid: dict[str, DataSource] = {}
        self._by_name: dict[str, DataSource] = {}
        self._default: DataSource | None = None

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[DataSource]:
        return iter(self._by_id.values())

    def with_id(self, number: int) -> DataSource | None:
        return self._by_id.get(number)

    def with_uid(self, uid: str) -> DataSource | None:
        return self._by_uid.get(uid)

    def with_name(self, name: str) -> DataSource | None:
        return self._by_name.get(name)

    def add(self, source: DataSource) -> None:
        self._by_id[source.id] = source
        self._by_uid[source.uid] = source
        self._by_name[source.name] = source
        self.set_default(source, source.is_default)

    def remove(self, source: DataSource) -> None:
        self.set_default(source, False)
        self._storage.remove(_SOURCE, source.id)
        del self._by_id[source.id], self._by_uid[source.uid], self._by_name[source.name]

    def rename(self, source: DataSource, *, name: str, uid: str) -> None:
        del self._by_uid[source.uid], self._by_name[source.name]
        source.name, source.uid = name, uid
        self._by_uid[uid], self._by_name[name] = source, source

    def set_default(self, source: DataSource, is_default: bool) -> None:
        """At most one is the default; another's `version` and `updated` do not tell it.

        The last step of every change of `source`: it is kept from here on.
        """
        if is_default and self._default is not None:
            self._default.is_default = False
            self._storage.put(_SOURCE, self._default.id, self._default)
        if is_default or self._default is source:
            self._default = source if is_default else None
        source.is_default = is_default
        self._storage.put(_SOURCE, source.id, source)


@dataclass(eq=False)
class Correlation:
    """A row of the table `correlation`."""

    uid: str
    org_id: int
    source_uid: str
    target_uid: str | None
    type: str
    label: str
    description: str
    field: str
    target: dict[str, object]
    transformations: list[dict[str, str]]
    provisioned: bool = False

    def says_the_same(self, other: "Correlation") -> bool:
        """Apart from who made it."""
        return replace(other, uid=self.uid, provisioned=self.provisioned).__dict__ == self.__dict__


class Correlations:
    """All correlations of all organisations, in the order of their creation."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._by_source: dict[str, dict[str, Correlation]] = {}
        self._all: dict[str, Correlation] = {}
        for correlation in cast("list[Correlation]", storage.all(_CORRELATION)):
            self.add(correlation)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Correlation]:
        return iter(self._all.values())

    def of_source(self, source_uid: str) -> list[Correlation]:
        return list(self._by_source.get(source_uid, {}).values())

    def get(self, source_uid: str, uid: str) -> Correlation | None:
        return self._by_source.get(source_uid, {}).get(uid)

    def add(self, correlation: Correlation) -> None:
        self._all[correlation.uid] = correlation
        self._by_source.setdefault(correlation.source_uid, {})[correlation.uid] = correlation
        self.keep(correlation)

    def keep(self, correlation: Correlation) -> None:
        """The last step of every change of it."""
        self._storage.put(_CORRELATION, correlation.uid, correlation)

    def remove(self, correlations: Iterable[Correlation]) -> None:
        for correlation in list(correlations):
            del self._all[correlation.uid]
            del self._by_source[correlation.source_uid][correlation.uid]
            self._storage.remove(_CORRELATION, correlation.uid)


@dataclass(frozen=True)
class Limits:
    """What an administrator of Grafana restricts."""

    listed_data_sources: int = 5000
    """`[datasources] datasource_limit`: where the list ends without a word."""
    data_sources_per_org: int | None = None
    """`[quota] org_data_source`; None: no quota."""
    hides_version: bool = False
    """`[auth.anonymous] hide_version`: from `/api/health`."""


class Grafana:
    """The whole state of one Grafana, and the source of its ids."""

    def __init__(
        self,
        version: Version,
        limits: Limits,
        seed: int | None = None,
        *,
        storage: Storage | None = None,
        files: Path | None = None,
    ) -> None:
        """With what `storage` holds; `files` is the folder of provisioning files."""
        self.version = version
        self.limits = limits
        self.files = files
        self.organizations: dict[int, Organization] = {}
        self._storage = storage or Storage()
        self._random = random.Random(seed)
        self._last_data_source_id = max(cast("list[int]", self._storage.all(_LAST_ID)), default=0)
        for name in cast("list[str]", self._storage.all(_ORGANIZATION)) or ["Main Org."]:
            self.add_organization(name)
        for source in cast("list[DataSource]", self._storage.all(_SOURCE)):
            self.organizations[source.org_id].add(source)
        self.correlations = Correlations(self._storage)

    def add_organization(self, name: str) -> Organization:
        organization = Organization(len(self.organizations) + 1, name, self._storage)
        self.organizations[organization.id] = organization
        self._storage.put(_ORGANIZATION, organization.id, name)
        return organization

    def new_data_source_id(self) -> int:
        """Ids are not used again after a deletion."""
        self._last_data_source_id += 1
        self._storage.put(_LAST_ID, "", self._last_data_source_id)
        return self._last_data_source_id

    def new_uid(self) -> str:
        first = self._random.choice(string.ascii_lowercase[:6])
        return first + "".join(self._random.choices(_UID_CHARACTERS, k=13))
