"""The command `gdso`: one module per subcommand."""

import argparse
from collections.abc import Sequence

from .. import __version__
from . import crds, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (2: wrong usage)."""
    parser = argparse.ArgumentParser(
        prog="gdso", description="Keep Grafana data sources equal to Kubernetes resources."
    )
    parser.add_argument("--version", action="version", version=f"gdso {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in (run, crds):
        module.add_parser(commands)
    options = parser.parse_args(arguments)
    return int(options.execute(options))
