"""Shapes of the JSON that Grafana takes and gives for a data source (HTTP API, 8.5 to 13)."""

from dataclasses import dataclass, field

from pydantic import ConfigDict, Field, SecretStr

from .model import ApiModel, Json


class DataSourceState(ApiModel):
    """A data source as Grafana answers it: GET by uid, and inside the answers to POST and PUT."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: int
    uid: str
    org_id: int = Field(default=0, alias="orgId")
    name: str
    type: str
    access: str = ""
    url: str = ""
    user: str = ""
    database: str = ""
    basic_auth: bool = Field(default=False, alias="basicAuth")
    basic_auth_user: str = Field(default="", alias="basicAuthUser")
    with_credentials: bool = Field(default=False, alias="withCredentials")
    is_default: bool = Field(default=False, alias="isDefault")
    json_data: Json | None = Field(default=None, alias="jsonData")
    secure_json_fields: dict[str, bool] = Field(default_factory=dict, alias="secureJsonFields")
    version: int = 0
    read_only: bool = Field(default=False, alias="readOnly")

    @property
    def secret_keys(self) -> frozenset[str]:
        """Keys of secureJsonData that hold a value."""
        return frozenset(key for key, is_set in self.secure_json_fields.items() if is_set)


@dataclass(frozen=True, slots=True)
class DataSourceBody:
    """Body of POST and PUT: the whole state, since PUT replaces all but the secrets."""

    uid: str
    name: str
    type: str
    access: str
    url: str
    user: str
    database: str
    basic_auth: bool
    basic_auth_user: str
    with_credentials: bool
    is_default: bool
    json_data: Json
    secure_json_data: dict[str, SecretStr] = field(default_factory=dict)
    version: int | None = None
    hidden: tuple[SecretStr, ...] = ()
    """Values of the other fields that came from Secrets: Grafana's messages must not show them."""
