"""Data sources as people provision them from files: many plugins, credentials of every kind.

`%ECHO%` is the address of a back end that takes anything, `%TLS%` of one that knows its clients.
"""

from collections.abc import Mapping

from tests.integration.sandbox import Json

QUERIED = ("prometheus", "loki", "tempo", "graphite", "influxdb", "jaeger", "zipkin", "opentsdb")
"""Types whose back ends are asked, those that have an HTTP address at all."""

DEFINITIONS: Mapping[str, Json] = {
    "prometheus-default": {
        "type": "prometheus",
        "url": "%ECHO%",
        "isDefault": True,
        "jsonData": {"httpMethod": "POST", "timeInterval": "30s", "manageAlerts": False},
    },
    "prometheus-header": {
        "type": "prometheus",
        "url": "%ECHO%/api",
        "jsonData": {"httpHeaderName1": "Authorization"},
        "secureJsonData": {"httpHeaderValue1": "Bearer bearer-of-prometheus"},
    },
    "prometheus-exemplars": {
        "type": "prometheus",
        "url": "%ECHO%/",
        "jsonData": {
            "exemplarTraceIdDestinations": [
                {"name": "traceID", "datasourceUid": "tempo"},
                {"name": "url", "url": "https://traces/${__value.raw}"},
            ]
        },
    },
    "prometheus-mutual-tls": {
        "type": "prometheus",
        "url": "%TLS%",
        "jsonData": {"tlsAuth": True, "tlsAuthWithCACert": True, "serverName": "localhost"},
        "secureJsonData": {
            "tlsCACert": "%CA%",
            "tlsClientCert": "%CERTIFICATE%",
            "tlsClientKey": "%KEY%",
        },
    },
    "loki-basic-auth": {
        "type": "loki",
        "url": "%ECHO%",
        "basicAuth": True,
        "basicAuthUser": "reader",
        "secureJsonData": {"basicAuthPassword": "password: of #loki"},
        "jsonData": {
            "maxLines": 1000,
            "derivedFields": [
                {
                    "name": "trace",
                    "matcherRegex": "trace_id=(\\w+)",
                    "url": "${__value.raw}",
                    "datasourceUid": "tempo",
                }
            ],
        },
    },
    "loki-tenants": {
        "type": "loki",
        "url": "%ECHO%",
        "jsonData": {"httpHeaderName1": "X-Scope-OrgID", "httpHeaderName2": "X-Two"},
        "secureJsonData": {
            "httpHeaderValue1": "tenant-a|tenant-b",
            "httpHeaderValue2": "value-of-two",
        },
    },
    "loki-skips-verification": {
        "type": "loki",
        "url": "%ECHO%",
        "jsonData": {"tlsSkipVerify": True, "timeout": 60},
    },
    "loki-basic-auth-without-password": {
        "type": "loki",
        "url": "%ECHO%",
        "basicAuth": True,
        "basicAuthUser": "nobody",
    },
    "tempo": {
        "type": "tempo",
        "url": "%ECHO%",
        "jsonData": {
            "tracesToLogsV2": {
                "datasourceUid": "loki-basic-auth",
                "spanStartTimeShift": "-1h",
                "tags": [{"key": "service.name", "value": "service"}, {"key": "job"}],
                "filterByTraceID": False,
                "customQuery": True,
                "query": '{job="${__span.tags.job}"} |= "${__trace.traceId}"',
            },
            "tracesToMetrics": {
                "datasourceUid": "prometheus-default",
                "queries": [{"name": "rate", "query": "sum(rate(x{$__tags}[5m]))"}],
            },
            "serviceMap": {"datasourceUid": "prometheus-default"},
            "nodeGraph": {"enabled": True},
            "search": {"hide": False},
            "traceQuery": {"timeShiftEnabled": True, "spanStartTimeShift": "1h"},
        },
    },
    "graphite-direct": {
        "type": "graphite",
        "access": "direct",
        "url": "http://graphite:8080",
        "withCredentials": True,
        "jsonData": {"graphiteVersion": "1.1", "graphiteType": "default"},
    },
    "influxdb-flux": {
        "type": "influxdb",
        "url": "%ECHO%",
        "jsonData": {"version": "Flux", "organization": "org", "defaultBucket": "bucket"},
        "secureJsonData": {"token": "token-of-influxdb"},
    },
    "influxdb-ql": {
        "type": "influxdb",
        "url": "%ECHO%",
        "user": "influx",
        "database": "site",
        "jsonData": {"dbName": "site", "httpMode": "GET"},
        "secureJsonData": {"password": "password-of-influxdb"},
    },
    "elasticsearch": {
        "type": "elasticsearch",
        "url": "http://elasticsearch:9200",
        "database": "[metrics-]YYYY.MM.DD",
        "jsonData": {"index": "[metrics-]YYYY.MM.DD", "interval": "Daily", "timeField": "@time"},
    },
    "mysql": {
        "type": "mysql",
        "url": "mysql:3306",
        "user": "grafana",
        "database": "grafana",
        "jsonData": {"maxOpenConns": 100, "maxIdleConnsAuto": True, "connMaxLifetime": 14400},
        "secureJsonData": {"password": "password-of-mysql"},
    },
    "postgres": {
        "type": "postgres",
        "url": "postgres:5432",
        "user": "grafana",
        "database": "grafana",
        "jsonData": {"sslmode": "verify-full", "postgresVersion": 1500, "timescaledb": True},
        "secureJsonData": {"password": "password-of-postgres", "tlsCACert": "%CA%"},
    },
    "mssql": {
        "type": "mssql",
        "url": "mssql:1433",
        "user": "grafana",
        "jsonData": {"database": "grafana", "encrypt": "true"},
        "secureJsonData": {"password": "password-of-mssql"},
    },
    "jaeger": {
        "type": "jaeger",
        "url": "%ECHO%",
        "basicAuth": True,
        "basicAuthUser": "my_user",
        "jsonData": {"tracesToLogs": {"datasourceUid": "loki-tenants", "tags": ["job", "pod"]}},
        "secureJsonData": {"basicAuthPassword": "password-of-jaeger"},
    },
    "zipkin": {"type": "zipkin", "url": "%ECHO%", "jsonData": {"nodeGraph": {"enabled": True}}},
    "opentsdb": {
        "type": "opentsdb",
        "url": "%ECHO%",
        "jsonData": {"tsdbResolution": 1, "tsdbVersion": 3},
    },
    "alertmanager": {
        "type": "alertmanager",
        "url": "http://alertmanager:9093",
        "jsonData": {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
    },
    "cloudwatch": {
        "type": "cloudwatch",
        "jsonData": {"authType": "keys", "defaultRegion": "eu-west-2"},
        "secureJsonData": {"accessKey": "access-key-of-aws", "secretKey": "secret-key-of-aws"},
    },
    "stackdriver": {
        "type": "stackdriver",
        "jsonData": {
            "tokenUri": "https://oauth2/token",
            "clientEmail": "a@b",
            "authenticationType": "jwt",
            "defaultProject": "project",
        },
        "secureJsonData": {"privateKey": "-----BEGIN PRIVATE KEY-----\nline\n"},
    },
    "azure": {
        "type": "grafana-azure-monitor-datasource",
        "jsonData": {"azureAuthType": "clientsecret", "cloudName": "azuremonitor", "tenantId": "t"},
        "secureJsonData": {"clientSecret": "secret-of-azure"},
    },
    "testdata": {"type": "testdata"},
    "unknown-plugin": {
        "type": "somebody-own-datasource",
        "url": "http://own:1/path?query=1",
        "jsonData": {"deep": {"list": [1, 2.5, "three", True, {"x": ["y"]}]}, "größe": "ä"},
        "secureJsonData": {"own.key": "value-of-own"},
    },
}
