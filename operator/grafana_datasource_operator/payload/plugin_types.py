"""Plugin ids that mean the same."""

TYPE_ALIASES = {
    "postgres": "grafana-postgresql-datasource",
    "testdata": "grafana-testdata-datasource",
    "phlare": "grafana-pyroscope-datasource",
}
"""Old plugin id -> the id that newer servers read back."""


def canonical_type(type_: str) -> str:
    """The newer of two ids of one plugin."""
    return TYPE_ALIASES.get(type_, type_)
