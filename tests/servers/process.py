"""A server as a child process: own log file, readiness, and an end by process id."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

_GUARD = Path(__file__).with_name("die_with_parent.py")
_TAIL_BYTES = 4000


class ServerFailedError(Exception):
    """A server ended or did not become ready; the message ends with the tail of its log."""


@cache
def _starter() -> ThreadPoolExecutor:
    # The guard kills the child when the *thread* that started it ends, and a test may start
    # servers from a thread that does: so one thread that lives as long as this process starts all.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="server-starter")


class ServerProcess:
    """One run of a program; start it again after `stop` for another run with the same log."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        outlive: bool = False,
    ) -> None:
        """With `outlive` the program goes on when this process ends (a demo)."""
        self.name = name
        self.log = log
        self._argv = [str(argument) for argument in argv]
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._outlive = outlive
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        self._child = _starter().submit(self._spawn).result()
        return self

    def _spawn(self) -> subprocess.Popen[bytes]:
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid())]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._argv if self._outlive else guard + self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,  # Ctrl-C in the terminal must not reach the servers
            )

    @property
    def pid(self) -> int:
        return self._started_child().pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the last run: None while it goes on, negative for the signal that ended it."""
        return self._started_child().poll()

    @property
    def identity(self) -> "ProcessIdentity":
        return ProcessIdentity.of(self.pid)

    def wait_ready(self, ready: Callable[[], bool], within_seconds: float) -> None:
        """Poll `ready` until it is true; an exception of it (no connection yet) counts as no."""
        deadline = time.monotonic() + within_seconds
        last = "it said no"
        while True:
            if (code := self.exit_code) is not None:
                raise ServerFailedError(f"{self.name} ended with {code}\n{self.log_tail()}")
            try:
                if ready():
                    return
                last = "it said no"
            except Exception as error:  # noqa: BLE001 - whatever the probe meets is not ready
                last = repr(error)
            if time.monotonic() > deadline:
                raise ServerFailedError(
                    f"{self.name} was not ready after {within_seconds:g} s, last: {last}\n"
                    f"{self.log_tail()}"
                )
            time.sleep(0.02)

    def wait_exit(self, within_seconds: float) -> int:
        try:
            return self._started_child().wait(within_seconds)
        except subprocess.TimeoutExpired:
            raise ServerFailedError(
                f"{self.name} still ran after {within_seconds:g} s\n{self.log_tail()}"
            ) from None

    def send_signal(self, number: signal.Signals) -> None:
        self._started_child().send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.stop(within_seconds=0)

    def stop(self, within_seconds: float = 10) -> None:
        """SIGTERM, and SIGKILL when it has not ended in time; no-op when it does not run."""
        if self._child is None:
            return
        if within_seconds > 0 and self.running:
            self._child.terminate()
            deadline = time.monotonic() + within_seconds
            while not _has_ended(self._child.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
        # Before the child is reaped its id, and so the id of its group, cannot belong to others.
        if self._child.returncode is None:
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def let_go(self) -> "ProcessIdentity":
        """Leave an outliving process to itself."""
        child, identity = self._started_child(), self.identity
        child.returncode = 0  # else the interpreter warns about a child that still runs
        self._child = None
        return identity

    def log_tail(self) -> str:
        """The last lines of its log, for messages."""
        if not self.log.exists():
            return f"--- {self.log} was not written"
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            tail = log.read().decode(errors="replace")
        return f"--- the end of {self.log}\n{tail}"

    def _started_child(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _has_ended(pid: int) -> bool:
    """Whether our child ended; leaves it unreaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that is not (or no longer) a child, safe against reuse of its id."""

    pid: int
    started: str
    """The kernel's start time of it; empty where /proc does not tell."""

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity":
        return cls(pid, _start_time(pid) or "")

    @property
    def running(self) -> bool:
        if self.started:
            return _start_time(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def stop(self, within_seconds: float = 10) -> None:
        """SIGTERM, deadline, SIGKILL; no-op when it is gone."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + within_seconds
            if self.running:
                os.kill(self.pid, number)
            while self.running and time.monotonic() < deadline:
                time.sleep(0.02)
        if self.running:
            raise ServerFailedError(f"process {self.pid} survived SIGKILL")


def _start_time(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command, in parentheses, may hold blanks; a zombie does not count as running.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else fields[18]
