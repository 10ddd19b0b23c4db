"""A data source and a correlation that came from a file, and that the API may not change."""

from tests.grafana_double.state import Correlation, DataSource, Grafana
from tests.grafana_double.versions import CorrelationRules


def provision(grafana: Grafana) -> None:
    organization = grafana.organizations[1]
    source = DataSource(
        id=grafana.new_data_source_id(),
        uid="provd",
        org_id=organization.id,
        name="Provisioned",
        type="loki",
        access="proxy",
        url="http://127.0.0.1:1",
        is_default=grafana.version.first_is_default,
        read_only=True,
    )
    organization.add(source)
    if grafana.version.correlations is not None:
        grafana.correlations.add(_correlation(grafana, source))


def _correlation(grafana: Grafana, source: DataSource) -> Correlation:
    return Correlation(
        uid=grafana.new_uid(),
        org_id=source.org_id,
        source_uid=source.uid,
        target_uid=source.uid,
        type="query",
        label="pl",
        description="pd",
        field="f",
        target={},
        transformations=[],
        provisioned=grafana.version.correlations is CorrelationRules.TYPE_ON_TOP,
    )
