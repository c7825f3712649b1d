"""Figures of codebooks and of runs, by matplotlib: `pip install "vqswift[train]"`.

Each function gives a matplotlib `Figure`, draws on `ax` where axes are given, and writes a file
where a `path` is.
"""

from ._codebook import codebook
from ._perplexity import perplexity
from ._reconstructions import reconstructions
from ._usage import usage

__all__ = ["codebook", "perplexity", "reconstructions", "usage"]
