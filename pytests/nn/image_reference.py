"""Convolutions by definition, in Float64 or any other NumPy type; images [n, h, w, c]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Pair = tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """A weight [out, in, kh, kw] sliding over images [n, h, w, in]."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)

    def output_size(self, height: int, width: int) -> Pair:
        sizes = zip((height, width), self.kernel, self.stride, self.padding, strict=True)
        rows, columns = ((size + 2 * p - k) // s + 1 for size, k, s, p in sizes)
        return rows, columns

    def transposed_size(self, height: int, width: int, output_padding: Pair = (0, 0)) -> Pair:
        sizes = zip(
            (height, width), self.kernel, self.stride, self.padding, output_padding, strict=True
        )
        rows, columns = ((size - 1) * s - 2 * p + k + o for size, k, s, p, o in sizes)
        return rows, columns

    def patches(self, x: np.ndarray) -> np.ndarray:
        """A view [n, oh, ow, in, kh, kw] of the padded images."""
        (kh, kw), (sh, sw), (ph, pw) = self.kernel, self.stride, self.padding
        padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(1, 2))
        return windows[:, ::sh, ::sw]

    def forward(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return np.einsum("nyxiab,oiab->nyxo", self.patches(x), weight, optimize=True)

    def weight_gradient(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return np.einsum("nyxiab,nyxo->oiab", self.patches(x), gradient, optimize=True)

    def input_gradient(
        self, gradient: np.ndarray, weight: np.ndarray, height: int, width: int
    ) -> np.ndarray:
        """Also the transposed convolution, to images of height x width."""
        (kh, kw), (sh, sw), (ph, pw) = self.kernel, self.stride, self.padding
        images, rows, columns, _ = gradient.shape
        shape = images, height + 2 * ph, width + 2 * pw, weight.shape[1]
        padded = np.zeros(shape, np.result_type(gradient, weight))
        for a in range(kh):
            for b in range(kw):
                part = padded[:, a : a + sh * rows : sh, b : b + sw * columns : sw]
                part[:, :rows, :columns] += gradient @ weight[:, :, a, b]
        return padded[:, ph : ph + height, pw : pw + width]
