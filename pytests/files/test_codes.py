"""Packed codes: the bytes of the documented layout, read bit by bit, and what is refused."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import peak_of

MODEL = bytes(range(32))


def read_bits(content: bytes) -> dict[str, Any]:
    """What docs/files-and-codes.md says, bit by bit."""
    assert content[:8] == b"\x89VQC\r\n\x1a\n"
    version, rank, zero, counts, zeros = struct.unpack("<HBBHH", content[8:16])
    height, width, payload = struct.unpack("<IIQ", content[16:32])
    (named,) = struct.unpack("<I", content[64:68])
    at = 68 + 8 * rank + 4 * counts
    shape = struct.unpack(f"<{rank}Q", content[68 : 68 + 8 * rank])
    num_codes = struct.unpack(f"<{counts}I", content[68 + 8 * rank : at])
    names, at = content[at : at + named], at + named
    assert struct.unpack("<I", content[at : at + 4])[0] == zlib.crc32(content[:at])
    codes, rest = content[at + 4 : at + 4 + payload], content[at + 4 + payload :]
    assert rest == struct.pack("<I", zlib.crc32(codes))
    total = 1
    for side in shape:
        total *= side
    values, place = [], 0
    for index in range(total):
        k = num_codes[index % counts]
        bits = 1
        while 2**bits < k:
            bits += 1
        value = 0
        for bit in range(bits):
            value += (codes[place // 8] >> place % 8 & 1) << bit
            place += 1
        values.append(value)
    assert len(codes) == -(-place // 8)
    return {
        "fixed": (version, zero, zeros),
        "size": (height, width),
        "model": content[32:64],
        "shape": shape,
        "num_codes": num_codes,
        "names": names.decode().split("\0") if names else [],
        "codes": values,
    }


@pytest.mark.parametrize(
    ("shape", "num_codes"),
    [
        ((), 5),
        ((0,), 5),
        ((1,), 1),
        ((7,), 1),
        ((3, 0, 2), 9),
        ((33,), 2),
        ((2, 5, 3), 3),
        ((4, 4, 4), 256),
        ((2, 3, 3, 4), 257),
        ((31,), 1000),
        ((1, 1, 1, 2, 1, 1, 1, 3), 65536),
        ((9,), 2**31 - 1),
        ((40,), 2**31),
        ((5, 4), (8, 5, 5, 5)),
        ((65, 3), (2, 2**31, 1)),
        ((2, 2), (6, 6)),
        ((0, 2), (3, 4)),
    ],
)
def test_the_bytes_are_those_of_the_layout(
    shape: tuple[int, ...], num_codes: int | tuple[int, ...], rng: np.random.Generator
) -> None:
    codes = rng.integers(0, num_codes, shape)
    codes.flat[:1] = np.max(num_codes) - 1 if isinstance(num_codes, int) else num_codes[0] - 1
    content = vq.pack_codes(codes, num_codes)
    told = read_bits(content)
    assert told["codes"] == codes.ravel().tolist() and told["shape"] == shape
    assert told["fixed"] == (1, 0, 0) and told["size"] == (0, 0) and told["model"] == bytes(32)
    same = isinstance(num_codes, int) or len(set(num_codes)) == 1
    wanted = num_codes if isinstance(num_codes, int) else num_codes[0] if same else num_codes
    assert told["num_codes"] == ((wanted,) if same else num_codes)
    found = vq.unpack_codes(content)
    assert found.codes.dtype == np.int32 and found.num_codes == wanted
    np.testing.assert_array_equal(found.codes, codes.reshape(shape))
    assert (found.names, found.image_size, found.model) == ((), None, None)


@pytest.mark.parametrize("num_codes", [2, 6, 1000, 2**20, (5, 4096, 3)])
def test_more_codes_than_are_packed_at_once(num_codes: Any, rng: np.random.Generator) -> None:
    codes = rng.integers(0, num_codes, (100_003, 3), dtype=np.int64)
    content = vq.pack_codes(codes, num_codes)
    np.testing.assert_array_equal(vq.unpack_codes(content).codes, codes)
    bits = [max(1, (k - 1).bit_length()) for k in np.broadcast_to(num_codes, 3).tolist()]
    assert len(content) == 68 + 16 + 4 * np.size(num_codes) + 4 - (-100_003 * sum(bits) // 8) + 4


def test_what_is_told_beside_the_codes(tmp_path: Path) -> None:
    codes = vq.Tensor(np.arange(12, dtype=np.int32).reshape(2, 6))
    path = tmp_path / "a.vq"
    vq.save_codes(path, codes, 12, model=MODEL, names=["ä.png", "b"], image_size=(21, 34))
    told = read_bits(path.read_bytes())
    assert told["names"] == ["ä.png", "b"] and told["size"] == (21, 34) and told["model"] == MODEL
    found = vq.load_codes(path, model=MODEL)
    assert (found.names, found.image_size, found.model) == (("ä.png", "b"), (21, 34), MODEL)
    np.testing.assert_array_equal(found.codes, codes.numpy())
    assert [each.name for each in tmp_path.iterdir()] == ["a.vq"]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int64", "uint64", ">i4"])
def test_codes_of_every_type(dtype: str) -> None:
    codes = np.arange(100, dtype=dtype)[::-3]
    found = vq.unpack_codes(vq.pack_codes(codes, 100)).codes
    np.testing.assert_array_equal(found, codes)


@pytest.mark.parametrize(
    ("codes", "num_codes", "options", "told"),
    [
        ([0, 5], 5, {}, r"code 5: codes must be in 0\.\.\.4$"),
        ([0, -1], 5, {}, r"code -1: codes must be in 0\.\.\.4$"),
        ([[0, 3]], (5, 3), {}, r"code 3 at place 1 of the last axis: codes must be in 0\.\.\.2$"),
        (np.array([2**63], np.uint64), 5, {}, r"code 9223372036854775808: codes must be in"),
        ([0], 0, {}, r"num_codes = 0: must be in 1\.\.\.2147483648$"),
        ([0], 2**31 + 1, {}, r"num_codes = 2147483649: must be in"),
        ([[0, 1]], (2, 2, 2), {}, r"num_codes has 3 numbers and codes \[1, 2\]: one for each"),
        ([[0, 1]], (), {}, r"num_codes = \(\): must be in"),
        (np.zeros((1, 257), int), (2,) * 256 + (3,), {}, r"num_codes has 257 numbers"),
        (np.zeros((1,) * 9, int), 2, {}, r"codes \[1, 1, 1, 1, 1, 1, 1, 1, 1\]: at most 8 axes"),
        ([0, 1], 2, {"names": ["a"]}, r"1 names and codes \[2\]: one for each place of the first"),
        ([0], 2, {"names": ["a\0b"]}, r"name 'a\\x00b': it must have a character, and no U\+0000$"),
        ([0], 2, {"names": [""]}, r"name '': it must have a character"),
        ([0], 2, {"names": ["\ud800"]}, r"names hold half a surrogate"),
        ([0], 2, {"image_size": (0, 3)}, r"image_size = \(0, 3\): height and width in 1"),
        ([0], 2, {"model": b"abc"}, r"model of 3 bytes: a fingerprint has 32$"),
    ],
)
def test_what_no_file_holds_is_refused(
    codes: Any, num_codes: Any, options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"^\[pack_codes\] " + told):
        vq.save_codes(tmp_path / "new", codes, num_codes, **options)
    assert not [*tmp_path.iterdir()]


def test_codes_must_be_integers() -> None:
    for count in (2.7, "8", (2, 2.5)):
        with pytest.raises(TypeError, match=r"^\[pack_codes\] num_codes = .*integer.* is required"):
            vq.pack_codes([[0, 0]], count)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"image_size = 3.7: an integer is required"):
        vq.pack_codes([0], 2, image_size=(3.7, 2))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^\[pack_codes\] codes of float64: integers are required"):
        vq.pack_codes([0.5], 2)


CONTENT = vq.pack_codes(
    np.arange(10).reshape(2, 5), 11, model=MODEL, names=["a", "b"], image_size=(8, 8)
)


def test_every_flipped_bit_is_noticed() -> None:
    for bit in range(8 * len(CONTENT)):
        damaged = bytearray(CONTENT)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"^\[unpack_codes\] "):
            vq.unpack_codes(bytes(damaged))


def test_every_cut_and_every_extension_is_noticed() -> None:
    for length in range(len(CONTENT)):
        with pytest.raises(ValueError, match=r"^\[unpack_codes\] .*(cut short|begins so)"):
            vq.unpack_codes(CONTENT[:length])
    for more in (b"\0", b"\n", CONTENT):
        with pytest.raises(ValueError, match=r"goes on behind its end, it must have 104$"):
            vq.unpack_codes(CONTENT + more)


def sealed(
    *,
    version: int = 1,
    zeros: tuple[int, int] = (0, 0),
    shape: tuple[int, ...] = (2, 3),
    counts: tuple[int, ...] = (5,),
    size: tuple[int, int] = (0, 0),
    names: bytes = b"",
    payload: bytes = b"\0\0\0",
    told: int | None = None,
    rank: int | None = None,
) -> bytes:
    """A file with right checksums, whatever it says."""
    header = b"\x89VQC\r\n\x1a\n" + struct.pack(
        "<HBBHHIIQ32sI",
        *(version, len(shape) if rank is None else rank, zeros[0], len(counts), zeros[1], *size),
        *(len(payload) if told is None else told, bytes(32), len(names)),
    )
    header += struct.pack(f"<{len(shape)}Q{len(counts)}I", *shape, *counts) + names
    return b"".join(
        (
            header,
            struct.pack("<I", zlib.crc32(header)),
            payload,
            struct.pack("<I", zlib.crc32(payload)),
        )
    )


def test_what_is_sealed_here_is_read() -> None:
    assert vq.unpack_codes(sealed(payload=b"\x21\x03\0")).codes.tolist() == [[1, 4, 4], [1, 0, 0]]


WRONG = [
    (b"", r"b''\.\.\.: no file of codes begins so$"),
    (
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        r"b'\\x89PNG\\r\\n\\x1a\\n'\.\.\.: no file of codes be",
    ),
    (sealed(version=2), r"version 2: version 1 is read$"),
    (sealed(rank=9), r"9 axes, 1 numbers of codes, 0 bytes of names: at most 8, 1 to 256"),
    (sealed(counts=()), r"2 axes, 0 numbers of codes"),
    (sealed(counts=(2,) * 257), r"2 axes, 257 numbers of codes"),
    (sealed(counts=(0,)), r"num_codes = \(0,\): each must be in 1\.\.\.2147483648$"),
    (sealed(counts=(2**31 + 1,)), r"num_codes = \(2147483649,\): each must be in"),
    (sealed(zeros=(1, 0)), r"bytes 11, 14 and 15 are 1 and 0: they must be 0$"),
    (sealed(zeros=(0, 256)), r"bytes 11, 14 and 15 are 0 and 256: they must be 0$"),
    (sealed(counts=(5, 5)), r"shape \[2, 3\] and 2 numbers of codes: one, or one for each"),
    (sealed(counts=(5, 5), shape=()), r"shape \[\] and 2 numbers of codes"),
    (sealed(size=(4, 0)), r"an image of 4 x 0 pixels: both, in 1\.\.\.2\^31-1, or none"),
    (sealed(size=(8, 2**31)), r"an image of 8 x 2147483648 pixels: both, in"),
    (sealed(shape=(2, 6)), r"shape \[2, 6\] and num_codes \[5\] do not fill 3 bytes$"),
    (sealed(shape=(2**63, 2)), r"shape \[9223372036854775808, 2\]: no file holds so many cod"),
    (sealed(shape=(2**64 - 1,) * 8), r"shape \[18446744073709551615, .*: no file holds so"),
    (sealed(shape=(0, 2**60), payload=b""), r"shape \[0, 1152921504606846976\]: no file"),
    (sealed(shape=(2**40,)), r"shape \[1099511627776\] and num_codes \[5\] do not fill 3"),
    (
        sealed(shape=(2**40,), counts=(2,), told=2**37),
        r"91 bytes: the file is cut short, it must have 137438953560$",
    ),
    (sealed(payload=b"\0\0\x04"), r"the last 6 bits of the codes are not 0$"),
    (sealed(payload=b"\xff\xff\x03"), r"code 7: codes must be in 0\.\.\.4$"),
    (sealed(names=b"a"), r"1 names and shape \[2, 3\]: one for each place of the first"),
    (sealed(names=b"a\0"), r"2 names and shape \[2, 3\]: one for each .* none empty$"),
    (sealed(names=b"\xff\0a"), r"the names are no UTF-8"),
    (sealed(names=b"a", shape=(), payload=b"\0"), r"1 names and shape \[\]"),
]


@pytest.mark.parametrize(("content", "told"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_header_with_right_checksums_is_refused_before_memory_is_taken(
    content: bytes, told: str
) -> None:
    def refused() -> None:
        with pytest.raises(ValueError, match=r"^\[unpack_codes\] " + told):
            vq.unpack_codes(content)

    assert peak_of(refused) < 1 << 17


def test_codes_of_another_model_are_refused(tmp_path: Path) -> None:
    first, second = vq.LFQ(4), vq.FSQ([4, 4])
    path = tmp_path / "a.vq"
    vq.save_codes(path, first.encode(np.ones((3, 4), np.float32)), 16, model=first)
    assert vq.load_codes(path, model=first).codes.tolist() == [15, 15, 15]
    assert vq.load_codes(path).model == first.fingerprint()
    with pytest.raises(ValueError, match=rf"^\[load_codes\] {path}: the codes are of the model "):
        vq.load_codes(path, model=second)
    vq.save_codes(path, [1], 16)
    assert vq.load_codes(path, model=second).codes.tolist() == [1]


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        vq.load_codes(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError):
        vq.load_codes(tmp_path)
    with pytest.raises(IsADirectoryError):
        vq.save_codes(tmp_path, [1], 2)
    with pytest.raises(OSError, match="Invalid argument"):
        vq.load_codes("/dev/zero")
    with pytest.raises(OSError, match="Invalid argument"):
        vq.save_codes("/dev/null", [1], 2)
    path = tmp_path / "a.vq"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match=rf"^\[load_codes\] {path}: 103 bytes: the file is cut"):
        vq.load_codes(path)


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link = tmp_path / "a.vq", tmp_path / "link"
    vq.save_codes(path, [1, 0], 2)
    path.chmod(0o600)
    link.symlink_to(path)

    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    change: Callable[..., Any]
    for change in ("fsync", "replace"):  # type: ignore[assignment]
        with monkeypatch.context() as patch:
            patch.setattr(os, change, failing)
            with pytest.raises(OSError, match="No space"):
                vq.save_codes(link, [0, 0], 2)
        assert vq.load_codes(path).codes.tolist() == [1, 0]
    vq.save_codes(link, [0, 0], 2)
    assert link.is_symlink() and vq.load_codes(path).codes.tolist() == [0, 0]
    assert path.stat().st_mode & 0o777 == 0o600
    assert {each.name for each in tmp_path.iterdir()} == {"a.vq", "link"}
