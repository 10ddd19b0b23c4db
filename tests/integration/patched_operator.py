"""An operator process in which some constants differ, so that nobody waits for minutes."""

from collections.abc import Mapping
from pathlib import Path

_OPERATOR = Path(__file__).parents[2] / "operator"


def with_constants(directory: Path, module: str, values: Mapping[str, object]) -> dict[str, str]:
    """Variables for `make_operator`; `module` is relative to the package.

    Python imports `sitecustomize` before anything else.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lines = [
        f"import grafana_datasource_operator.{module} as module",
        *(f"module.{name} = {value!r}" for name, value in values.items()),
    ]
    (directory / "sitecustomize.py").write_text("\n".join(lines) + "\n")
    return {"PYTHONPATH": f"{directory}:{_OPERATOR}"}
