"""Build the `tool` programs of a Go module, telling how far it is."""

import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_PROGRESS_SECONDS = 10


class BuildError(Exception):
    """Go is missing or the build failed; the message has the last lines."""


@dataclass(frozen=True)
class GoBuild:
    """What to build and how to link it."""

    module: Path
    linker_flags: str
    missing_go: str
    """What to tell somebody who has no Go."""

    def run(self, into: Path, what: str, progress: Callable[[str], None]) -> None:
        go = shutil.which("go")
        if go is None:
            raise BuildError(self.missing_go)
        into.mkdir(parents=True)
        flags = ["-v", "-trimpath", "-ldflags", self.linker_flags]
        started = time.monotonic()
        progress(f"building {what} with {go}: some minutes, once")
        with subprocess.Popen(
            [go, "build", *flags, "-o", f"{into}/", "tool"],
            cwd=self.module,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            output = _Output()
            reader = threading.Thread(target=output.follow, args=(child,))
            reader.start()
            try:
                _wait(child, output, started, progress)
            except BaseException:
                child.kill()
                raise
            finally:
                reader.join()
        if child.returncode != 0:
            raise BuildError(f"go build of {what} failed:\n" + "\n".join(output.tail))
        progress(f"[{time.monotonic() - started:4.0f} s] built {what}")


def _wait(
    child: subprocess.Popen[str],
    output: "_Output",
    started: float,
    progress: Callable[[str], None],
) -> None:
    while True:
        try:
            child.wait(timeout=_PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            progress(f"[{time.monotonic() - started:4.0f} s] {output.phase}")
        else:
            return


@dataclass
class _Output:
    """What `go build -v` printed: modules while it downloads, packages while it compiles."""

    downloaded: int = 0
    compiled: int = 0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=30))

    def follow(self, child: subprocess.Popen[str]) -> None:
        assert child.stderr is not None
        for line in child.stderr:
            self.tail.append(line.rstrip())
            if line.startswith("go: downloading"):
                self.downloaded += 1
            else:
                self.compiled += 1

    @property
    def phase(self) -> str:
        if self.compiled:
            return f"compiling and linking: {self.compiled} packages, last {self.tail[-1]}"
        if self.downloaded:
            return f"downloading modules: {self.downloaded}, last {self.tail[-1].split()[-2]}"
        return "reading the module and what is already compiled"
