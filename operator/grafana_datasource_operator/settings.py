"""Settings: read once at the start, from GDSO_* variables and flags."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .api.durations import parse_duration
from .telemetry.logs import LogFormat

PREFIX = "GDSO_"


class SettingsError(Exception):
    """A setting is wrong; the message names the variable and the flag."""


def _split(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip())
        if isinstance(value, str)
        else value
    )


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _check_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # Its text quotes the value.
        is_url = False
    if not is_url or not value.isprintable():
        raise ValueError("must be an http:// or https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold neither credentials nor a query; use the settings for those")
    return value


def _check_address(value: str) -> str:
    _, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be host:port or :port")
    return value


def _check_resync(value: float) -> float:
    if value and value < 1:
        raise ValueError("must be 0s (never) or at least 1s")
    return value


_INSTANCE = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"

Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Everything that is set from outside; the description of a field is the help of its flag."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    namespaces: Names = ()
    """Namespaces to watch, separated by commas; empty is the whole cluster."""
    http_address: Annotated[str, AfterValidator(_check_address)] = ":8080"
    """host:port of /healthz, /readyz and /metrics."""
    instance_namespaces: Names = ()
    """Namespaces whose GrafanaInstances count, separated by commas; empty is all watched."""
    default_instance: Annotated[str, Field(pattern=_INSTANCE)] | None = None
    """namespace/name of the GrafanaInstance for resources that name none."""
    owner_id: Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9._-]+$")] | None = None
    """Tells operators that share a Grafana apart; default the uid of namespace kube-system."""
    owner_id_accept: Names = ()
    """Former owner ids whose data sources are ours, too, separated by commas."""
    resync_interval: Annotated[float, BeforeValidator(_seconds), AfterValidator(_check_resync)] = (
        600.0
    )
    """How often Grafana is looked at again where a resource says nothing: 10m; 0s is never."""
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    log_format: LogFormat = LogFormat.JSON
    """json or text."""
    grafana_url: Annotated[str, AfterValidator(_check_url)] | None = None
    """URL of the default Grafana, with its sub-path if it has one."""
    grafana_token: SecretStr | None = None
    """Service account token for it, role Admin."""
    grafana_token_file: Path | None = None
    """File with that token; read anew when it changes."""
    grafana_username: str | None = None
    """User for basic auth, instead of a token."""
    grafana_password: SecretStr | None = None
    """Password for basic auth."""
    grafana_org_id: Annotated[int, Field(ge=1)] | None = None
    """Organization to act in; default that of the credentials."""
    grafana_allowed_namespaces: Names = ()
    """Namespaces that may use the default Grafana; empty is all that are watched."""

    @property
    def watched_namespaces(self) -> tuple[str, ...]:
        """Namespaces with anything of interest; none is the whole cluster."""
        if not self.namespaces:
            return ()
        return tuple(dict.fromkeys([*self.namespaces, *self.instance_namespaces]))

    @model_validator(mode="after")
    def _require_one_default(self) -> "Settings":
        if self.grafana_url is not None and self.default_instance is not None:
            raise ValueError(
                "GDSO_DEFAULT_INSTANCE and GDSO_GRAFANA_URL both name a default: set one of them"
            )
        return self

    @model_validator(mode="after")
    def _require_one_credential(self) -> "Settings":
        ways = [
            self.grafana_token is not None,
            self.grafana_token_file is not None,
            self.grafana_username is not None,
        ]
        if self.grafana_url is not None and sum(ways) != 1:
            raise ValueError(
                "GDSO_GRAFANA_URL needs exactly one of GDSO_GRAFANA_TOKEN, GDSO_GRAFANA_TOKEN_FILE,"
                " GDSO_GRAFANA_USERNAME"
            )
        if (self.grafana_username is None) is not (self.grafana_password is None):
            raise ValueError("GDSO_GRAFANA_USERNAME and GDSO_GRAFANA_PASSWORD go together")
        return self


def load_settings(flags: dict[str, Any]) -> Settings:
    """Settings from flags, which win, and the environment.

    Raises:
        SettingsError: all that is wrong, one line each, without the values.
    """
    try:
        return Settings(**flags)
    except ValidationError as error:
        lines = [
            f"{PREFIX}{str(item['loc'][0]).upper()}: {item['msg']}" if item["loc"] else item["msg"]
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise SettingsError("\n".join(lines)) from None
