"""Read the operator's metrics as Prometheus would."""

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.servers.operator_process import OperatorProcess


def samples(operator: OperatorProcess) -> list[Sample]:
    return [
        sample
        for family in text_string_to_metric_families(operator.metrics())
        for sample in family.samples
    ]


def total(operator: OperatorProcess, name: str, **labels: str) -> float:
    """Sum of the series that have these labels, others aside."""
    return sum(
        sample.value
        for sample in samples(operator)
        if sample.name == name and labels.items() <= sample.labels.items()
    )
