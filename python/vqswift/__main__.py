"""``python -m vqswift demo`` and ``python -m vqswift estimators``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import demo, laboratory


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m vqswift")
    commands = parser.add_subparsers(title="commands", required=True)
    demo.add_parser(commands)
    laboratory.add_parser(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (FloatingPointError, ImportError, OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
