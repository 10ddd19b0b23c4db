"""Where built servers are kept between runs, and who may add to it."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_RETRY_SECONDS = 0.5
_TELL_SECONDS = 10


def cache_directory() -> Path:
    """`GDSO_TEST_CACHE`, else the user's cache directory; not created here."""
    if given := os.environ.get("GDSO_TEST_CACHE"):
        return Path(given).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "gdso"
    return Path.home() / ".cache" / "gdso"


@contextmanager
def only_maker(of: Path, waiting: Callable[[float], None] = lambda _: None) -> Iterator[bool]:
    """Hold the right to make `of`, which is there or not there, but never half made.

    Gives whether it still is to be made: another process may have done so meanwhile. `waiting` is
    told now and then how many seconds this one has waited.
    """
    of.parent.mkdir(parents=True, exist_ok=True)
    with of.with_name(f"{of.name}.lock").open("w") as lock:
        _take(lock.fileno(), waiting)
        yield not of.exists()


def _take(lock: int, waiting: Callable[[float], None]) -> None:
    started = told = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            if now - told >= _TELL_SECONDS:
                told = now
                waiting(now - started)
            time.sleep(_RETRY_SECONDS)
        else:
            return
