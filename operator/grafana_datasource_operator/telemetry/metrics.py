"""Prometheus metrics; every label has a bounded set of values, and series of the deleted go."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter(
    "gdso_reconcile", "Looks at resources, by what they came to", ["kind", "result"]
)
RECONCILE_SECONDS = Histogram("gdso_reconcile_seconds", "Duration of one look", ["kind"])
QUEUE_DEPTH = Gauge("gdso_queue_depth", "Resources that wait for a worker")
RESOURCES = Gauge(
    "gdso_resources", "Resources by their Ready condition", ["kind", "ready", "reason"]
)
GRAFANA_REQUESTS = Counter(
    "gdso_grafana_requests",
    'Requests to Grafana; code "none": no answer',
    ["instance", "method", "code"],
)
GRAFANA_REQUEST_SECONDS = Histogram(
    "gdso_grafana_request_seconds", "Duration of requests to Grafana", ["instance", "method"]
)
DRIFT_CORRECTED = Counter(
    "gdso_drift_corrected", "Data sources that others had changed, put right", ["kind"]
)
INSTANCE_UP = Gauge("gdso_instance_up", "1 while Grafana can be asked", ["instance"])
DATA_SOURCE_HEALTHY = Gauge(
    "gdso_datasource_healthy",
    "1 where Grafana's own health check says OK, 0 where it does not, absent where it cannot tell",
    ["namespace", "name"],
)
