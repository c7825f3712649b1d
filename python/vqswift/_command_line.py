"""How the commands tell their options."""

from __future__ import annotations

import argparse


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Adds defaults, save to switches and where the text already says what holds without."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        if action.default is None or action.default is False or "by default" in text:
            return text
        return super()._get_help_string(action)
