"""The command `vqswift`, also `python -m vqswift`: sub-commands train, compare, encode, paint."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from . import __version__, distributed
from ._termination import STATUS, leaving
from .codec._commands import COMMANDS as CODEC_COMMANDS
from .codec._painting_commands import COMMANDS as PAINTING_COMMANDS
from .experiments import COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and returns the process's exit status."""
    parser = argparse.ArgumentParser(
        prog="vqswift",
        description="Vector-quantized neural networks on the CPU: the experiments of the package, "
        "and images as codes.",
        epilog="vqswift COMMAND --help tells the options of a command and their defaults.",
    )
    version = f"vqswift {__version__}"
    parser.add_argument("--version", action="version", version=version, help="tell the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (*COMMANDS, *CODEC_COMMANDS, *PAINTING_COMMANDS):
        command.add_to(commands)
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files may be any bytes
    try:
        with leaving():
            distributed.init()
            options.run(options)
    except (ArithmeticError, ImportError, IndexError, MemoryError, OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        distributed.current().give_up()
        return 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
    except SystemExit as ending:
        if ending.code == STATUS:
            print(f"{parser.prog}: terminated", file=sys.stderr)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
