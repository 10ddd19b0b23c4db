"""Keep Grafana data sources equal to what Kubernetes custom resources say."""

__version__ = "0.1.0"
