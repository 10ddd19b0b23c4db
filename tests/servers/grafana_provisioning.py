"""A data source and a correlation from a file: both read-only, as in the recorded transcripts."""

PROVISIONED_UID = "provd"

PROVISIONED_YAML = f"""
apiVersion: 1
datasources:
  - name: Provisioned
    uid: {PROVISIONED_UID}
    type: loki
    access: proxy
    url: http://127.0.0.1:1
    editable: false
    correlations:
      - targetUID: {PROVISIONED_UID}
        label: pl
        description: pd
        type: query
        config: {{type: query, field: f, target: {{}}}}
"""
