"""What became of the files."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tally:
    """What was done, file by file.

    `written` files, `existing` ones that were left as they are, `damaged` ones that were left out;
    of those that were written, `pixels` of the images and `code_bits` of all codes, of
    `encode_files` the `file_bits`, with headers and checksums, and of `reconstruct_files` the PSNR
    in dB of each image by its path.
    """

    written: int = 0
    existing: int = 0
    damaged: list[Path] = field(default_factory=list)
    pixels: int = 0
    code_bits: int = 0
    file_bits: int = 0
    psnr_of: dict[Path, float] = field(default_factory=dict)

    @property
    def bits_per_pixel(self) -> float:
        """Bits of codes by pixels of images; NaN without pixels."""
        return self.code_bits / self.pixels if self.pixels else math.nan

    @property
    def psnr(self) -> float:
        """The mean of the images' PSNR in dB; NaN without images."""
        return sum(self.psnr_of.values()) / len(self.psnr_of) if self.psnr_of else math.nan

    @property
    def done(self) -> int:
        """Files that need no more work."""
        return self.written + self.existing + len(self.damaged)
