"""The only HTTP to Grafana: typed client, errors, capabilities by asking, pace. No Kubernetes."""
