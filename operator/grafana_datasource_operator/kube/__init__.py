"""The only Kubernetes calls besides kopf's watches. Knows nothing of Grafana."""
