"""Server processes end when they should, and explain themselves when they fail."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.polling import eventually
from tests.servers.process import ProcessIdentity, ServerFailedError, ServerProcess

SLEEP = "import time; print('awake', flush=True); time.sleep(300)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


def python(tmp_path: Path, code: str) -> ServerProcess:
    return ServerProcess("test server", [sys.executable, "-c", code], tmp_path / "server.log")


def wait_awake(process: ServerProcess) -> None:
    process.wait_ready(lambda: "awake" in process.log_tail(), 10)


def test_stops_by_sigterm_and_can_start_again(tmp_path: Path) -> None:
    with python(tmp_path, SLEEP) as process:
        wait_awake(process)
        process.stop()
        assert process.exit_code == -signal.SIGTERM
        process.start()
        assert process.running


def test_what_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with python(tmp_path, STUBBORN) as process:
        wait_awake(process)
        process.stop(within_seconds=0.2)
        assert process.exit_code == -signal.SIGKILL


def test_what_a_server_started_ends_with_it(tmp_path: Path) -> None:
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}])
print(child.pid, flush=True)
child.wait()
"""
    with python(tmp_path, code) as process:
        wait_awake(process)
        child = ProcessIdentity.of(int(process.log.read_text().split()[0]))
        assert child.running
    eventually(lambda: child.running, lambda running: not running, 5, "the end of the child")


def test_a_server_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    with (
        python(tmp_path, "raise SystemExit('no such option')") as process,
        pytest.raises(ServerFailedError, match=r"ended with 1(.|\n)*no such option"),
    ):
        process.wait_ready(lambda: False, 10)


def test_a_server_that_never_becomes_ready_shows_its_log(tmp_path: Path) -> None:
    def ready() -> bool:
        raise ConnectionError("nobody listens")

    with python(tmp_path, SLEEP) as process:
        wait_awake(process)
        with pytest.raises(ServerFailedError, match=r"nobody listens(.|\n)*awake"):
            process.wait_ready(ready, 0.1)


@pytest.mark.parametrize("outlive", [False, True])
def test_ends_with_the_process_that_started_it_unless_told_to_outlive(
    tmp_path: Path, outlive: bool
) -> None:
    log = tmp_path / "server.log"
    code = f"""
import os, signal, sys
from pathlib import Path
from tests.servers.process import ServerProcess
argv = [sys.executable, "-c", {SLEEP!r}]
server = ServerProcess("inner", argv, Path({str(log)!r}), outlive={outlive}).start()
server.wait_ready(lambda: "awake" in server.log_tail(), 10)
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    starter = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    server = ProcessIdentity.of(int(starter.stdout))
    if outlive:
        assert server.running
        server.stop()
    eventually(lambda: server.running, lambda running: not running, 5, "the end of the server")
