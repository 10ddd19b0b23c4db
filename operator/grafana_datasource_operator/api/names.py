"""Names that the API group fixes for good: group, version, finalizer, annotations."""

from typing import NamedTuple

GROUP = "gdso.dev"
VERSION = "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"

FINALIZER = f"{GROUP}/finalizer"
RECONCILE_REQUESTED_AT = f"{GROUP}/reconcile-requested-at"
FORCE_DELETE = f"{GROUP}/force-delete"
OWNER_KEY = f"{GROUP}/owner"
"""Key in a data source's jsonData that holds the owner mark."""


class ResourceKind(NamedTuple):
    """Names of one kind, as discovery and `kubectl` know them."""

    kind: str
    plural: str
    singular: str
    short: str

    @property
    def crd_name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


DATA_SOURCE = ResourceKind("GrafanaDataSource", "grafanadatasources", "grafanadatasource", "gds")
INSTANCE = ResourceKind("GrafanaInstance", "grafanainstances", "grafanainstance", "ginst")


class InstanceKey(NamedTuple):
    """Identifies one Grafana: namespace and name of its GrafanaInstance, as in status."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return self.name if self == FROM_SETTINGS else "/".join(self)


FROM_SETTINGS = InstanceKey("-", "default")
"""The instance that the operator's settings define."""


class ObjectKey(NamedTuple):
    """Identifies one custom resource for as long as its name is in use."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
