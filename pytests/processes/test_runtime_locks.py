"""The locks of Swift's runtime in a forked child."""

import ctypes
import os
import struct
import threading
from pathlib import Path

import vqswift as vq
from vqswift import _core

KEPT_NUMBER = b"_ZZN5swift14threading_impl5linux13ulock_get_tidEvE3tid"


class LoadedLibrary(ctypes.Structure):
    """struct dl_phdr_info."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.c_void_p),
        ("header_count", ctypes.c_uint16),
        ("added", ctypes.c_ulonglong),
        ("removed", ctypes.c_ulonglong),
        ("tls_module", ctypes.c_size_t),
        ("tls_data", ctypes.c_void_p),
    )


def tls_offset(library: Path, name: bytes) -> int:
    """Where a thread-local variable of an ELF library lies within the library's block."""
    data = library.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQII", data, table + i * size) for i in range(count)]
    for _, kind, _, _, start, length, link, _ in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        texts = sections[link][4]
        for place in range(start, start + length, 24):
            text, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", data, place)
            if data.startswith(name + b"\0", texts + text):
                return int(value)
    raise LookupError(name)


def kept_number() -> int:
    """The number that Swift's runtime has kept for the calling thread; 0 before it has."""
    library = Path(_core.__file__)
    found = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(LoadedLibrary), ctypes.c_size_t, ctypes.c_void_p)
    def look(loaded: ctypes._Pointer, _size: int, _context: object) -> int:
        if loaded.contents.name and loaded.contents.name.endswith(library.name.encode()):
            found.append(loaded.contents.tls_data)
        return 0

    ctypes.CDLL(None).dl_iterate_phdr(look, None)
    return ctypes.c_uint32.from_address(found[0] + tls_offset(library, KEPT_NUMBER)).value


def test_a_child_does_not_lock_under_the_number_of_its_parent() -> None:
    vq.Tensor([1.0]).exp().numpy()
    own = threading.get_native_id()
    assert kept_number() == own
    child = os.fork()
    if child == 0:
        number = -1
        try:
            number = kept_number()
        finally:
            os._exit(0 if number in (0, os.getpid()) else 1)
    assert os.waitpid(child, 0)[1] == 0
