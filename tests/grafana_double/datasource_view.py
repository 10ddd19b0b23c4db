"""How data sources are shown: in the list, one by one, and after a change."""

from aiohttp import web

from tests.grafana_double.answers import answer
from tests.grafana_double.state import DataSource
from tests.grafana_double.versions import JsonObject, Version


def _shared_fields(source: DataSource) -> JsonObject:
    return {
        "id": source.id,
        "uid": source.uid,
        "orgId": source.org_id,
        "name": source.name,
        "access": source.access,
        "url": source.url,
        "user": source.user,
        "database": source.database,
        "basicAuth": source.basic_auth,
        "isDefault": source.is_default,
        "jsonData": source.json_data,
        "readOnly": source.read_only,
    }


def listed(source: DataSource, version: Version) -> JsonObject:
    plugin = version.plugin(source.type)
    fields = _shared_fields(source) | {
        "type": plugin.id if plugin and version.shows_plugin_of_one else source.type,
        "typeName": plugin.name if plugin else source.type,
        "typeLogoUrl": _logo(source, version),
    }
    return fields | ({"password": ""} if version.shows_legacy_passwords else {})


def shown(source: DataSource, version: Version) -> JsonObject:
    plugin = version.plugin(source.type) if version.shows_plugin_of_one else None
    fields = _shared_fields(source) | {
        "type": plugin.id if plugin else source.type,
        "typeLogoUrl": _logo(source, version) if version.shows_plugin_of_one else "",
        "basicAuthUser": source.basic_auth_user,
        "withCredentials": source.with_credentials,
        "secureJsonFields": {
            key: True
            for key, value in source.secrets.items()
            if value or version.shows_blanked_secrets
        },
        "version": source.version,
    }
    if version.shows_api_version:
        fields["apiVersion"] = source.api_version
    if version.shows_legacy_passwords:
        fields |= {"password": "", "basicAuthPassword": ""}
    return fields


def _logo(source: DataSource, version: Version) -> str:
    plugin = version.plugin(source.type)
    return f"public/plugins/{plugin.id}/img/logo.svg" if plugin else "public/img/icn-datasource.svg"


def changed(source: DataSource, version: Version, message: str) -> web.Response:
    return answer(
        {
            "datasource": shown(source, version),
            "id": source.id,
            "message": message,
            "name": source.name,
        }
    )
