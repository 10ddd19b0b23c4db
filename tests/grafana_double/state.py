"""What a Grafana holds: organisations, data sources, correlations."""

import random
import string
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.grafana_double.versions import Version

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
    api_version: str = ""
    updated: int = field(default_factory=lambda: int(time.time()))
    """In whole seconds, as databases keep it."""

    def touch(self) -> None:
        self.updated = int(time.time())


class Organization:
    """An organisation with its data sources, found by uid, name and id alike."""

    def __init__(self, org_id: int, name: str) -> None:
        self.id = org_id
        self.name = name
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
        del self._by_id[source.id], self._by_uid[source.uid], self._by_name[source.name]

    def rename(self, source: DataSource, *, name: str, uid: str) -> None:
        del self._by_uid[source.uid], self._by_name[source.name]
        source.name, source.uid = name, uid
        self._by_uid[uid], self._by_name[name] = source, source

    def set_default(self, source: DataSource, is_default: bool) -> None:
        """At most one is the default; another's `version` and `updated` do not tell it."""
        if is_default and self._default is not None:
            self._default.is_default = False
        if is_default or self._default is source:
            self._default = source if is_default else None
        source.is_default = is_default


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


class Correlations:
    """All correlations of all organisations, in the order of their creation."""

    def __init__(self) -> None:
        self._by_source: dict[str, dict[str, Correlation]] = {}
        self._all: dict[str, Correlation] = {}

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

    def remove(self, correlations: Iterable[Correlation]) -> None:
        for correlation in list(correlations):
            del self._all[correlation.uid]
            del self._by_source[correlation.source_uid][correlation.uid]


@dataclass(frozen=True)
class Limits:
    """What an administrator of Grafana restricts."""

    listed_data_sources: int = 5000
    """`[datasources] datasource_limit`: where the list ends without a word."""
    data_sources_per_org: int | None = None
    """`[quota] org_data_source`; None: no quota."""


class Grafana:
    """The whole state of one Grafana, and the source of its ids."""

    def __init__(self, version: Version, limits: Limits, seed: int | None = None) -> None:
        self.version = version
        self.limits = limits
        self.organizations: dict[int, Organization] = {}
        self.correlations = Correlations()
        self._random = random.Random(seed)
        self._last_data_source_id = 0
        self.add_organization("Main Org.")

    def add_organization(self, name: str) -> Organization:
        organization = Organization(len(self.organizations) + 1, name)
        self.organizations[organization.id] = organization
        return organization

    def new_data_source_id(self) -> int:
        """Ids are not used again after a deletion."""
        self._last_data_source_id += 1
        return self._last_data_source_id

    def new_uid(self) -> str:
        first = self._random.choice(string.ascii_lowercase[:6])
        return first + "".join(self._random.choices(_UID_CHARACTERS, k=13))
