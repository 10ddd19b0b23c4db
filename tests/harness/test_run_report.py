"""A test run says what it ran against, and does not start against what is not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.kubernetes import KubernetesServer

_PROJECT = Path(__file__).parents[2]
_TEST = "tests/harness/test_grafana.py::test_is_the_version_that_it_is_said_to_be"
_EVERY_TEST = "tests/harness/test_grafana.py::test_tokens_are_made_by_every_version"
_KUBERNETES_TEST = "tests/harness/test_kubernetes.py::test_a_failing_kubectl_says_why"


def run_pytest(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GDSO_TEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=_PROJECT,
        env={**kept, **environment},
    )


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("test", [_TEST, _EVERY_TEST])
def test_the_summary_names_every_grafana_with_its_tests(
    tmp_path: Path, workers: str, test: str
) -> None:
    answer = run_pytest("-n", workers, test, GDSO_TEST_CACHE=str(tmp_path))
    assert answer.returncode == 0, answer.stdout
    _, _, summary = answer.stdout.partition(" ran against ")
    assert [line for line in summary.splitlines() if line.startswith("Grafana")] == [
        "Grafana: 12.4.0 (double): 1 test",
        "Grafana: 8.5.9 (double): 1 test",
        "Grafana: 9.4.0-pre (double): 1 test",
    ]


def test_a_run_with_a_grafana_that_is_not_there_does_not_start(tmp_path: Path) -> None:
    answer = run_pytest(_TEST, GDSO_TEST_GRAFANA_HOMES=str(tmp_path / "absent"))
    assert answer.returncode == pytest.ExitCode.USAGE_ERROR
    assert "absent: no bin/grafana" in answer.stderr


def test_a_given_grafana_that_does_not_answer_fails_the_tests() -> None:
    answer = run_pytest(f"{_TEST}[given]", GDSO_TEST_GRAFANA_URL="http://127.0.0.1:9")
    assert answer.returncode == pytest.ExitCode.TESTS_FAILED
    assert "GDSO_TEST_GRAFANA_URL is http://127.0.0.1:9, but" in answer.stdout


def test_an_existing_cluster_is_used_and_named(kubernetes_server: KubernetesServer) -> None:
    answer = run_pytest(_KUBERNETES_TEST, GDSO_TEST_KUBECONFIG=str(kubernetes_server.kubeconfig))
    assert answer.returncode == 0, answer.stdout
    assert f"an existing cluster at {kubernetes_server.url}: 1 test" in answer.stdout


def test_an_existing_cluster_that_is_not_there_fails_the_tests(tmp_path: Path) -> None:
    answer = run_pytest(f"--kubeconfig={tmp_path / 'absent'}", _KUBERNETES_TEST)
    assert answer.returncode == pytest.ExitCode.TESTS_FAILED
    assert "the kubeconfig given for the tests" in answer.stdout
