"""Imports run one way, and the source root stays out of the standard library's way."""

import operator
import subprocess
import sys
from pathlib import Path

from grafana_datasource_operator.payload import diff

_ROOT = Path(__file__).parents[2]


def test_all_contracts_about_imports_are_kept() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    report = subprocess.run(
        [program, "--no-cache", "--config", _ROOT / "pyproject.toml"],
        cwd=_ROOT,
        env={"PYTHONPATH": str(_ROOT / "operator"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.returncode == 0, f"run `make lint`:\n{report.stdout}{report.stderr}"
    assert "0 broken" in report.stdout


def test_the_source_root_does_not_hide_the_operator_of_the_standard_library() -> None:
    assert operator.itemgetter(1)("ab") == "b"
    assert not Path(str(operator.__file__)).is_relative_to(_ROOT)
    assert not (_ROOT / "operator" / "__init__.py").exists()


def test_the_package_that_is_tested_is_the_one_of_this_checkout() -> None:
    assert Path(diff.__file__).is_relative_to(_ROOT / "operator")
