"""The experiments of the package: applications of one harness, each a command of `vqswift`."""

from . import demo, laboratory, straightening
from ._page import REPORT

COMMANDS = (demo.COMMAND, *laboratory.COMMANDS, straightening.COMMAND, REPORT)
