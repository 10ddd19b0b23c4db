"""Base of all resource models: camelCase on the wire, frozen, silent about the input it refuses."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Json = dict[str, Any]
"""One raw JSON object, as it crosses the border to Kubernetes or Grafana."""


class ApiModel(BaseModel):
    """A part of a custom resource.

    Unknown fields are ignored (the apiserver prunes them) and never quoted in an error: what a
    user mistyped may be a secret.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        alias_generator=to_camel,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


FreeForm = Annotated[Json, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
"""An object of any content, which the apiserver stores as it is."""
