"""What a spec may not say, and CEL cannot see.

Refused before Grafana is asked: what it takes once and never lets us correct.
"""

from ..api.datasource import DataSourceSpec
from ..api.model import Json
from ..api.names import OWNER_KEY
from ..errors import invalid_spec
from .ignored import check_ignored
from .json_values import find_unsafe_integers, is_deeper_than
from .references import check_references
from .values import check_values_from

MAX_LEVELS = 100
"""Far more than any plugin nests its settings, far less than Python's functions can recurse."""

URL_REQUIRED = frozenset(
    {
        "alertmanager",
        "elasticsearch",
        "grafana-amazonprometheus-datasource",
        "grafana-azureprometheus-datasource",
        "grafana-postgresql-datasource",
        "graphite",
        "influxdb",
        "influxdb_08",
        "jaeger",
        "loki",
        "mssql",
        "mysql",
        "opentsdb",
        "postgres",
        "prometheus",
        "tempo",
        "zipkin",
    }
)
"""Types whose PUT answers 400 for an empty url while POST accepts it (measured, 8.5 to 12.4)."""


def needs_url(type_: str) -> bool:
    """Whether Grafana refuses every update of this type that has no url."""
    return type_ in URL_REQUIRED


def check_spec(spec: DataSourceSpec) -> None:
    """Refuse a spec that must not reach Grafana.

    A url that `valuesFrom` is yet to set counts as set.

    Raises:
        Stalled: InvalidSpec, naming the field.
    """
    _check_json_data(spec.json_data or {})
    check_values_from(spec)
    check_ignored(spec)
    is_fed = any(entry.path == "/url" for entry in spec.values_from or [])
    if needs_url(spec.type) and not is_fed and not (spec.url or "").strip():
        raise invalid_spec(
            "spec.url",
            f"must be set for type {spec.type}: Grafana would take it empty once"
            " and then refuse every update",
        )


def _check_json_data(json_data: Json) -> None:
    if OWNER_KEY in json_data:
        raise invalid_spec(
            f"spec.jsonData[{OWNER_KEY}]", "is the operator's own mark; remove it from the spec"
        )
    if is_deeper_than(MAX_LEVELS, json_data):
        raise invalid_spec("spec.jsonData", f"is nested more than {MAX_LEVELS} levels deep")
    for pointer in find_unsafe_integers(json_data, "/jsonData"):
        raise invalid_spec(
            f"spec{pointer.replace('/jsonData', '.jsonData', 1)}",
            "is an integer beyond 2^63-1, which Kubernetes has rounded;"
            " quote it or make it smaller",
        )
    check_references(json_data)
