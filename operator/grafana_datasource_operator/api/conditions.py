"""Conditions in status, in the standard Kubernetes shape."""

from typing import Annotated

from pydantic import Field, WithJsonSchema

from .model import ApiModel, Json
from .reasons import ConditionStatus, ConditionType, HealthReason, Reason

# Open in the schema: a new release may write a new reason while the old CRD is still installed.
REASON_SCHEMA: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": 64,
    "pattern": "^[A-Za-z]+$",
}

MAX_MESSAGE = 1024
"""Characters of a message that we write; the schema admits 32768."""


class Condition(ApiModel):
    """One aspect of the state of a resource."""

    type: ConditionType
    """What the condition is about."""
    status: ConditionStatus
    """True, False or Unknown."""
    observed_generation: Annotated[int, Field(ge=-1)]
    """metadata.generation that this condition speaks of."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When status last changed."""
    reason: Annotated[Reason | HealthReason, WithJsonSchema(REASON_SCHEMA)]
    """One word why."""
    message: Annotated[str, Field(max_length=32768)]
    """What is wrong, where, and what to do, for people."""


PENDING = Condition(
    type=ConditionType.READY,
    status=ConditionStatus.UNKNOWN,
    observed_generation=-1,
    last_transition_time="1970-01-01T00:00:00Z",
    reason=Reason.PENDING,
    message="Waiting for the operator",
)
"""Schema default of a resource that no operator has looked at: without it kstatus says Current."""
