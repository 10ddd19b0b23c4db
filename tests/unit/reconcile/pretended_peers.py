"""The other resources, as a test lists them."""

from collections.abc import Sequence

from grafana_datasource_operator.api.datasource import DataSource
from grafana_datasource_operator.payload.datasource import plain_name, uid_of


class PretendedPeers:
    """Resources by name; a namespace may be out of sight."""

    def __init__(self, *present: DataSource, out_of_sight: Sequence[str] = ()) -> None:
        self.present = list(present)
        self._out_of_sight = out_of_sight

    def may_exist(self, namespace: str, name: str) -> bool:
        return namespace in self._out_of_sight or self.find(namespace, name) is not None

    def find(self, namespace: str, name: str) -> DataSource | None:
        for one in self.present:
            if (one.metadata.namespace, one.metadata.name) == (namespace, name):
                return one
        return None

    def with_uid(self, uid: str) -> list[DataSource]:
        return [one for one in self.present if uid_of(one) == uid]

    def with_name(self, name: str) -> list[DataSource]:
        return [one for one in self.present if plain_name(one.metadata, one.spec) == name]

    def wanting_default(self) -> list[DataSource]:
        return [one for one in self.present if one.spec.is_default]
