"""Metrics, logs, and the HTTP endpoint for probes and metrics."""
