"""The picture of originals and reconstructions, and the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._drawing import axes_of

if TYPE_CHECKING:
    from ...train import StepMetrics

_SCALE = 3
_GAP = 6
_MARGIN = 20
_INK, _FAINT, _PAPER = "#1b1f24", "#68707a", "#ffffff"


@dataclass(frozen=True)
class PictureRow:
    """A row of pictures: its label, a second line, and `[n, h, w, 3]` float32 in [0, 1]."""

    label: str
    caption: str
    images: NDArray[np.float32]


def save_reconstructions(
    path: Path, rows: Sequence[PictureRow], *, title: str, credit: str
) -> None:
    """Draw the rows, each below its label, every pixel as a square of three.

    Raises `ImportError` without Pillow.
    """
    image, draw, text = _pillow()
    strips = [_strip(row.images) for row in rows]
    width = max(strip.shape[1] for strip in strips) + 2 * _MARGIN
    heading, body, small = text(20), text(14), text(12)
    credit_lines = _wrapped(credit, small, width - 2 * _MARGIN)
    label_height = 26
    height = (
        _MARGIN
        + 38
        + sum(label_height + strip.shape[0] + 12 for strip in strips)
        + 16 * len(credit_lines)
        + _MARGIN
        - 6
    )
    canvas = image.new("RGB", (width, height), _PAPER)
    pen = draw.Draw(canvas)
    y = _MARGIN - 4
    pen.text((_MARGIN, y), title, fill=_INK, font=heading)
    y += 38
    for row, strip in zip(rows, strips, strict=True):
        pen.text((_MARGIN, y), row.label, fill=_INK, font=body)
        pen.text((width - _MARGIN, y), row.caption, fill=_FAINT, font=body, anchor="ra")
        y += label_height
        canvas.paste(image.fromarray(strip), (_MARGIN, y))
        y += strip.shape[0] + 12
    for line in credit_lines:
        pen.text((_MARGIN, y), line, fill=_FAINT, font=small)
        y += 16
    canvas.save(path)


def save_curves(path: Path, histories: Mapping[str, Sequence[StepMetrics]]) -> bool:
    """Plot reconstruction error and perplexity of every step; False without matplotlib."""
    try:
        figure, both = axes_of(1, 2, 5, 3.6)
    except ImportError:
        return False
    panels = (("mse", "reconstruction MSE of the batch"), ("perplexity", "batch perplexity"))
    for axes, (key, title) in zip(both, panels, strict=True):
        for name, history in histories.items():
            axes.plot(
                [metrics.step for metrics in history],
                [getattr(metrics, key) for metrics in history],
                label=name,
                linewidth=1,
            )
        axes.set(title=title, xlabel="step", yscale="log")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=120)
    return True


def _strip(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The images side by side, upscaled: `[scale * h, n * (scale * w + gap) - gap, 3]`."""
    pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    pixels = pixels.repeat(_SCALE, axis=1).repeat(_SCALE, axis=2)
    padded = np.pad(pixels, ((0, 0), (0, 0), (0, _GAP), (0, 0)), constant_values=255)
    count, height, width, _ = padded.shape
    strip = padded.transpose(1, 0, 2, 3).reshape(height, count * width, 3)
    return np.ascontiguousarray(strip[:, : count * width - _GAP])


def _wrapped(words: str, font: Any, width: int) -> list[str]:
    """Lines of text no wider than `width` pixels."""
    lines: list[str] = []
    for word in words.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _pillow() -> tuple[Any, Any, Any]:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise ImportError(
            '[demo] the picture needs Pillow: pip install "vqswift[train]"'
        ) from error
    return Image, ImageDraw, ImageFont.load_default
