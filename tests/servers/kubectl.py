"""kubectl as a child process that sees only the kubeconfig it is given."""

import os
import subprocess
from pathlib import Path


class KubectlError(Exception):
    """kubectl ended with another code than 0."""

    def __init__(self, arguments: tuple[str, ...], answer: "subprocess.CompletedProcess[str]"):
        self.exit_code = answer.returncode
        self.stdout = answer.stdout
        self.stderr = answer.stderr
        super().__init__(
            f"kubectl {' '.join(arguments)} ended with {answer.returncode}: "
            f"{answer.stderr.strip() or answer.stdout.strip()}"
        )


class Kubectl:
    """Runs kubectl with one kubeconfig and a home directory of its own."""

    def __init__(self, program: Path, kubeconfig: Path, home: Path) -> None:
        self.program = program
        self._home = home
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "KUBECONFIG": str(kubeconfig),
            "LANG": "C.UTF-8",
        }

    def __call__(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002 - as in subprocess.run
        check: bool = True,
        timeout_seconds: float = 60,
    ) -> str:
        """Its standard output."""
        answer = self.run(*arguments, input=input, timeout_seconds=timeout_seconds)
        if check and answer.returncode != 0:
            raise KubectlError(arguments, answer)
        return answer.stdout

    def run(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002 - as in subprocess.run
        timeout_seconds: float = 60,
    ) -> "subprocess.CompletedProcess[str]":
        """The whole answer, whatever the exit code."""
        return subprocess.run(
            [self.program, *arguments],
            input=input or "",
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            env=self.environment,
            cwd=self._home,
            check=False,
        )
