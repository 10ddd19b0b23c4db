"""A tiny model of how Grafana stores one data source (measured on 8.5 to 12.4).

PUT replaces all fields and merges secrets; it clears neither url nor basicAuthUser.
"""

import json
from collections.abc import Mapping
from typing import Any

from grafana_datasource_operator.api.grafana_json import DataSourceBody, DataSourceState
from grafana_datasource_operator.grafana.client import encode_body
from grafana_datasource_operator.payload.diff import StoreTraits

Json = dict[str, Any]

NEW = StoreTraits()
OLD = StoreTraits(keeps_database=True, lists_blanked_secrets=True)
"""Servers before 9.0."""

_NOT_LISTED = {"basic_auth_user", "with_credentials", "secure_json_fields", "version"}


class GrafanaModel:
    """Holds one data source; takes and gives the JSON of the HTTP API."""

    def __init__(
        self,
        traits: StoreTraits = NEW,
        *,
        reads_back: Mapping[str, str] | None = None,
        forces_default: bool = False,
    ) -> None:
        """Start empty.

        Args:
            traits: of the server's version.
            reads_back: type that is sent -> type that is answered.
            forces_default: what is created is the first of its organization.
        """
        self._traits = traits
        self._forces_default = forces_default
        self._reads_back = reads_back or {}
        self.fields: Json = {}
        self.secrets: dict[str, str] = {}

    @classmethod
    def holding(cls, state: DataSourceState, traits: StoreTraits = NEW) -> "GrafanaModel":
        """A server that holds `state`, with secrets that nobody knows."""
        model = cls(traits)
        model.fields = state.model_dump(mode="json", by_alias=True)
        model.secrets = {key: "held before" for key in state.secret_keys}
        return model

    @property
    def state(self) -> DataSourceState:
        """What GET answers."""
        listed = {
            key: True
            for key, value in self.secrets.items()
            if value or self._traits.lists_blanked_secrets
        }
        shown = self._reads_back.get(self.fields["type"], self.fields["type"])
        return DataSourceState.model_validate(
            {**self.fields, "type": shown, "secureJsonFields": listed}
        )

    @property
    def listed(self) -> DataSourceState:
        """The item of the list, which leaves some fields out."""
        item = self.state.model_dump(mode="json", by_alias=True, exclude=_NOT_LISTED)
        return DataSourceState.model_validate(item)

    def post(self, body: DataSourceBody) -> DataSourceState:
        """Create the data source."""
        sent = json.loads(json.dumps(encode_body(body)))
        self.secrets = sent.pop("secureJsonData", {})
        is_default = sent["isDefault"] or self._forces_default
        self.fields = {**sent, "isDefault": is_default, "id": 7, "version": 1}
        return self.state

    def put(self, body: DataSourceBody) -> DataSourceState:
        """Replace it."""
        sent = json.loads(json.dumps(encode_body(body)))
        if sent["version"] < self.fields["version"]:
            raise ValueError("409: updated by someone else")
        self.secrets |= sent.pop("secureJsonData", {})
        kept = ["url", "basicAuthUser", *(["database"] if self._traits.keeps_database else [])]
        unchanged = {name: self.fields[name] for name in kept if not sent[name]}
        self.fields = {**self.fields, **sent, **unchanged, "version": sent["version"] + 1}
        return self.state
