"""CIFAR-10 as the experiments read it."""

from __future__ import annotations

from pathlib import Path

from ... import data


def cifar10(root: Path | None) -> tuple[data.ImageSet, data.ImageSet]:
    """Training and test set; FileNotFoundError, which names the option, where they are absent."""
    try:
        return data.cifar10("train", root), data.cifar10("test", root)
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).replace("root=", "--data")) from None
