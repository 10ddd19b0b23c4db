"""Become another program that the kernel kills when the starting thread is gone.

Run as a script (`python -I -S die_with_parent.py PARENT_PID PROGRAM ARGUMENT…`) instead of a
`preexec_fn`, which may deadlock when the starting process has threads. Elsewhere than on Linux it
only becomes the program.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        if os.getppid() != parent:
            sys.exit("the starting process was gone before the guard was set")
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
