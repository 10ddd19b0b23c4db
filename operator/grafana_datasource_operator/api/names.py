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

DEFAULT_INSTANCE_NAMESPACE = "-"
DEFAULT_INSTANCE_NAME = "default"
"""Together the list-map key in status of the instance that the operator's settings define."""


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


class ObjectKey(NamedTuple):
    """Identifies one custom resource for as long as its name is in use."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
