"""Image files to files of codes and back, by an autoencoder with a quantizer.

A network is any module with `encode`, images [n, h, w, channels] in 0...1 to codes [n, h', w'] or
with an axis of groups or stages behind, and `decode`, codes to images. What else is read of it,
`vq.models.SQVAE` has: `quantizer`, or `num_codes` in its place, `side_multiple`, the pixels a side
of a code (1 without), and `config`, whose "channels" are 3 or 1 (3 without). A MaskGIT over its
codes makes images, or what is missing in them.
"""

from ._decode import decode_files
from ._encode import encode_files
from ._painting import inpaint_files, sample_files
from ._reconstruct import reconstruct_files
from ._tally import Tally

__all__ = [
    "Tally",
    "decode_files",
    "encode_files",
    "inpaint_files",
    "reconstruct_files",
    "sample_files",
]
