"""The other resources, as far as one of them has to know about them."""

from typing import Protocol

from ..api.datasource import DataSource


class Peers(Protocol):
    """What the operator has seen of all GrafanaDataSources."""

    def may_exist(self, namespace: str, name: str) -> bool:
        """Whether the resource exists; one out of sight may."""

    def find(self, namespace: str, name: str) -> DataSource | None:
        """The resource, if it is there and can be read."""

    def with_uid(self, uid: str) -> list[DataSource]:
        """Resources that are not being deleted and want this uid."""

    def with_name(self, name: str) -> list[DataSource]:
        """Resources that are not being deleted and want this display name."""

    def wanting_default(self) -> list[DataSource]:
        """Resources that are not being deleted and want to be the default of an organization."""
