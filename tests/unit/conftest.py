"""Settings of the unit tests: no server, no deadline that a busy machine could miss."""

from hypothesis import HealthCheck, settings

# Machines that run many tests at once are slow now and then: that is no finding.
settings.register_profile(
    "unit", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unit")
