"""Pure: resource and resolved secrets -> Grafana JSON; desired and actual -> differences.

No network, no clock, no logging; secret values arrive resolved and never enter an exception.
"""
