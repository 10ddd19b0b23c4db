"""What all kinds have in common: metadata, as far as the operator reads it, and a status."""

from pydantic import ValidationError, ValidatorFunctionWrapHandler, field_validator

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


class StoredObject(ApiModel):
    """One object as the apiserver stores it; each kind adds `spec` and `status`."""

    metadata: ObjectMeta

    @field_validator("status", mode="wrap", check_fields=False)
    @classmethod
    def _ignore_foreign_status(cls, value: object, handler: ValidatorFunctionWrapHandler) -> object:
        # A status that another release wrote must not stop this one: it is only a memory.
        try:
            return handler(value)
        except ValidationError:
            return cls.model_fields["status"].get_default()
