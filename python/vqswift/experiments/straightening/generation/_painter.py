"""Images that a transformer's codes and a tokenizer's decoder make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .... import models
from ...._random import Generator
from ._tokenizer import decoded, encoded


@dataclass(frozen=True)
class SamplingConfiguration:
    """How codes are drawn; the fields are those of `vq.models.generate`.

    Guidance is for samples that have a class.
    """

    steps: int = 8
    temperature: float = 1.0
    choice_temperature: float = 4.5
    order: Literal["confidence", "halton"] = "confidence"
    guidance: float = 1.0
    guidance_schedule: Literal["constant", "linear"] = "linear"


@dataclass(frozen=True)
class Painter:
    """Both networks, and how codes are drawn.

    `map_side` is of the square map of codes.
    """

    tokenizer: models.VQGAN
    transformer: models.MaskGIT
    sampling: SamplingConfiguration
    map_side: int

    def samples(self, count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Images [count, h, w, 3], and their classes, one after the other; -1 without."""
        classes = self.transformer.classes
        labels = np.arange(count, dtype=np.int32) % classes if classes else np.full(count, -1)
        hidden = np.full((count, self.map_side, self.map_side), -1, np.int32)
        return self.filled(hidden, labels, seed), labels.astype(np.int32)

    def filled(
        self, codes: NDArray[np.int32], labels: NDArray[Any], seed: int
    ) -> NDArray[np.float32]:
        """Images of codes [n, h, w], those of -1 drawn, for classes [n], -1 for none."""
        chosen = self.sampling
        has_class = bool((np.asarray(labels) >= 0).any())
        drawn = models.generate(
            self.transformer,
            codes=codes.reshape(len(codes), -1),
            labels=labels if has_class else None,
            steps=chosen.steps,
            temperature=chosen.temperature,
            choice_temperature=chosen.choice_temperature,
            order=chosen.order,
            guidance=chosen.guidance if has_class else 0.0,
            guidance_schedule=chosen.guidance_schedule,
            generator=Generator(seed),
        )
        return decoded(self.tokenizer, drawn.numpy().reshape(codes.shape))

    def painted(
        self, images: NDArray[np.float32], labels: NDArray[Any], seed: int
    ) -> NDArray[np.float32]:
        """The images with their middle drawn anew for the classes; the rest is their own."""
        codes = encoded(self.tokenizer, images)
        codes[:, *middle(self.map_side)] = -1
        found = images.copy()
        pixels = middle(images.shape[1])
        found[:, *pixels] = self.filled(codes, labels, seed)[:, *pixels]
        return found


def middle(side: int) -> tuple[slice, slice]:
    """The middle of a square, of half its side."""
    half = slice(side // 4, side - side // 4)
    return half, half
