"""Codes as packed bits, in memory and in files."""

from ._files import load_codes, save_codes
from ._layout import CodeFile
from ._packing import pack_codes
from ._unpacking import unpack_codes

__all__ = ["CodeFile", "load_codes", "pack_codes", "save_codes", "unpack_codes"]
