"""View, queue, workers, staleness guard. Knows keys, not kinds; neither Grafana nor specs."""
