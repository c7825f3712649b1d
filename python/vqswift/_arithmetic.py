"""How the core rounds: denormal numbers, sums of convolutions."""

from . import _core
from ._arguments import checked


@checked
def set_flush_denormal(flush: bool) -> bool:
    """Whether kernels take denormal numbers, below 2^-126 = 1.2e-38, for zero; returns what it was.

    They do at the start, since a processor computes a hundred times slower with denormals. Searches
    for codes and whatever else decides one keep them. Only the core's threads are concerned: NumPy
    and other libraries compute as before.
    """
    return _core.set_flush_denormal(flush)


@checked
def set_exact_convolutions(exact: bool) -> bool:
    """Whether convolutions take direct sums alone; returns what it was.

    Otherwise a convolution of stride 1, of 3x3 or 5x5 taps or along one axis, may go by Winograd's
    transform, up to twice as fast, with errors up to 2^-17 of the magnitudes that an output sees:
    see docs/numerics.md.
    """
    return _core.set_exact_convolutions(exact)
