"""`gdso crds`: print the CustomResourceDefinitions, or write them as files."""

import argparse
import sys
from pathlib import Path

from ..api.crd import CRDS, render


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser("crds", help="print the CustomResourceDefinitions as YAML")
    parser.add_argument(
        "--output-dir", type=Path, help="write one file per kind there instead of printing"
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Print or write."""
    documents = {name: render(generate()) for name, generate in CRDS.items()}
    if options.output_dir is None:
        sys.stdout.write("---\n".join(documents.values()))
        return 0
    options.output_dir.mkdir(parents=True, exist_ok=True)
    for name, text in documents.items():
        (options.output_dir / name).write_text(text)
    return 0
