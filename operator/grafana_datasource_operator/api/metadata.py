"""The part of metadata that the operator reads."""

from .model import ApiModel


class ObjectMeta(ApiModel):
    """The part of metadata that the operator reads."""

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: str | None = None
    finalizers: list[str] = []
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
    creation_timestamp: str = ""
