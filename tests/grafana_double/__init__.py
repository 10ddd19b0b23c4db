"""A double of the part of Grafana's HTTP API that a data source operator uses.

It answers from state, not from recordings: `python -m tests.grafana_double --version 12.4.0
--port 0 --port-file FILE` runs it, `process.GrafanaDouble` does so from a test. What it holds is
kept in a file, as Grafana's database is. What the versions of Grafana do differently is in
`versions.py`, everything else is named after what it answers.

Not here: what plugins do (their resources and queries, health beyond "does the back end answer",
which requests they let through the proxy), TLS settings, users other than the administrator,
provisioning files of apiVersion 0 and their `$__file{}` and `$__env{}`.
"""
