"""Provisioning files: read, with variables put in, and refused as a whole where one is wrong."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import yaml

from tests.grafana_double.datasource_command import Command
from tests.grafana_double.versions import JsonObject

_ACCESS = ("proxy", "direct")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class ProvisioningError(Exception):
    """What the files say cannot be had; what was done before stays."""


@dataclass(frozen=True)
class Named:
    """A data source as files name it."""

    org_id: int
    name: str


@dataclass(frozen=True)
class Declared:
    """A data source from a file."""

    named: Named
    command: Command
    read_only: bool
    is_prunable: bool
    correlations: list[JsonObject]


@dataclass(frozen=True)
class ProvisioningFile:
    """One file."""

    deleted: list[Named] = field(default_factory=list)
    declared: list[Declared] = field(default_factory=list)


def read_files(folder: Path, organizations: Iterable[int]) -> list[ProvisioningFile]:
    """Those of the folder, by name."""
    paths = sorted(path for path in folder.glob("*") if path.suffix in {".yaml", ".yml"})
    files = [_read(path) for path in paths]
    declared = [one for file in files for one in file.declared]
    known = set(organizations)
    for one in declared:
        if one.named.org_id not in known:
            raise ProvisioningError(f'failed to provision "{one.named.name}": no organization')
    defaults = [one.named.org_id for one in declared if one.command.is_default]
    if len(defaults) != len(set(defaults)):
        raise ProvisioningError("Only one datasource per organization can be marked as default")
    return files


def uid_of_name(name: str) -> str:
    """Of a data source that a file gives none."""
    return f"P{sha256(name.encode()).hexdigest()[:16]}".upper()


def _read(path: Path) -> ProvisioningFile:
    try:
        content = _with_variables(yaml.safe_load(path.read_text()) or {})
        if not isinstance(content, dict) or not content.get("apiVersion"):
            raise ProvisioningError(f"{path.name}: files of apiVersion 0 are not for this double")
        prune = bool(content.get("prune"))
        return ProvisioningFile(
            [_named(raw) for raw in content.get("deleteDatasources") or []],
            [_declared(raw, prune) for raw in content.get("datasources") or []],
        )
    except (yaml.YAMLError, TypeError, AttributeError, ValueError) as error:
        raise ProvisioningError(f"{path.name}: {error}") from error


def _named(raw: Mapping[str, object]) -> Named:
    return Named(int(_text(raw, "orgId") or 1) or 1, _text(raw, "name"))


def _declared(raw: Mapping[str, object], prune: bool) -> Declared:
    json_data, secrets = raw.get("jsonData") or {}, raw.get("secureJsonData") or {}
    correlations = raw.get("correlations") or []
    if not (
        isinstance(json_data, dict) and isinstance(secrets, dict) and isinstance(correlations, list)
    ):
        raise TypeError("jsonData, secureJsonData or correlations of a wrong type")
    access = _text(raw, "access")
    command = Command(
        name=_text(raw, "name"),
        type=_text(raw, "type"),
        access=access if access in _ACCESS else "proxy",
        uid=_text(raw, "uid"),
        url=_text(raw, "url"),
        user=_text(raw, "user"),
        database=_text(raw, "database"),
        basic_auth=_flag(raw, "basicAuth"),
        basic_auth_user=_text(raw, "basicAuthUser"),
        with_credentials=_flag(raw, "withCredentials"),
        is_default=_flag(raw, "isDefault"),
        json_data=json_data,
        secrets={key: _text(secrets, key) for key in secrets},
        api_version="",
        version=int(_text(raw, "version") or 0),
    )
    return Declared(_named(raw), command, not _flag(raw, "editable"), prune, correlations)


def _text(raw: Mapping[str, object], key: str) -> str:
    """A scalar as it stands in the file."""
    value = raw.get(key)
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flag(raw: Mapping[str, object], key: str) -> bool:
    text = _text(raw, key)
    if text not in {"", "true", "false"}:
        raise ValueError(f"{key} is not a boolean")
    return text == "true"


def _with_variables(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_variables(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_variables(item) for item in value]
    if isinstance(value, str):
        return "$".join(_VARIABLE.sub(_variable, part) for part in value.split("$$"))
    return value


def _variable(found: re.Match[str]) -> str:
    return os.environ.get(found[1] or found[2], "")
