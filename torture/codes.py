"""Mutated files of codes through every reader, and through a network to an image.

A case damages one file: bits, cuts, additions, the header of one and the codes of another, and
numbers of the header with right checksums over them. It is refused with ValueError or OSError,
whose text names the file, or its codes lie below their number, as many as its shape says, and its
image has the size that the file tells. Memory is limited.
"""

import os
import resource
import struct
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import vqswift as vq
from _campaign import main
from PIL import Image
from vqswift import codec

FIXED = struct.Struct("<8sHBBHHIIQ32sI")
EXTREMES = [0, 1, 2, 3, 7, 8, 9, 255, 256, 257, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**31 + 1]
EXTREMES += [2**32 - 1, 2**32, 2**40, 2**48, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
MAX_PIXELS = 1 << 12
MEMORY = 512 << 20


class Files:
    """Files of many shapes, and of a network's codes; where damaged ones are written."""

    def __init__(self) -> None:
        vq.set_threads(1)
        vq.manual_seed(0)
        self.model = vq.models.SQVAE(vq.FSQ([4, 3]), width=2, image_size=28)
        self.own = self.model.fingerprint()
        random = np.random.default_rng(0)
        self.contents = [
            vq.pack_codes(random.integers(0, num_codes, shape), num_codes, **options)
            for shape, num_codes, options in (
                ((), 5, {}),
                ((0, 3), 5, {}),
                ((9,), 1, {"model": b"\1" * 32}),
                ((2, 3), 1000, {"names": ["a", "ä"]}),
                ((3, 4, 2), (5, 2**31), {}),
                ((1, 2, 1, 2, 1, 2, 1, 2), 2**31, {"image_size": (7, 9)}),
                ((70, 3), (2, 3, 257), {}),
            )
        ]
        self.images = [
            vq.pack_codes(
                random.integers(0, 12, (-(-h // 4), -(-w // 4))),
                12,
                model=self.own,
                image_size=(h, w),
            )
            for h, w in ((8, 8), (5, 17), (1, 1), (64, 33))
        ]
        self.folder = Path("codes").resolve()
        self.folder.mkdir()
        self.path, self.image = self.folder / "a.vq", self.folder / "out" / "a.png"
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))

    def check(self, random: np.random.Generator) -> None:
        reader = random.integers(8)
        sources = self.images if reader == 0 else self.contents + self.images
        content = mutated(sources, random)
        if reader < 5:
            self.path.write_bytes(content)
        try:
            if reader == 0:
                self.decode()
            model = self.own if random.integers(2) else None
            found = (
                vq.load_codes(self.path, model=model) if reader < 5 else vq.unpack_codes(content)
            )
        except (OSError, ValueError) as error:
            str(error).encode()
            if reader < 5 and str(self.path) not in str(error):
                raise AssertionError(f"the text does not name the file: {error}") from error
            return
        fits(found)
        if 0 < reader < 5 and model is not None and found.model not in (None, model):
            raise AssertionError("codes of another model")
        if reader == 0:
            with Image.open(self.image) as image:
                width, height = image.size
            if (height, width) != found.image_size or height * width > MAX_PIXELS:
                raise AssertionError(f"{height} x {width} pixels, not {found.image_size}")

    def decode(self) -> None:
        self.image.unlink(missing_ok=True)
        codec.decode_files(self.model, self.path, self.image.parent, max_pixels=MAX_PIXELS)


def fits(found: vq.CodeFile) -> None:
    """Raises unless the codes are below their number, and names as many as they must be."""
    codes = found.codes
    if codes.dtype != np.int32 or not codes.flags.c_contiguous:
        raise AssertionError(f"codes of {codes.dtype}")
    if codes.size and not (codes.min() >= 0 and (codes < np.array(found.num_codes)).all()):
        raise AssertionError(f"codes from {codes.min()} to {codes.max()}, {found.num_codes}")
    if found.names and len(found.names) != len(codes):
        raise AssertionError(f"{len(found.names)} names of {len(codes)}")
    again = vq.pack_codes(
        codes, found.num_codes, model=found.model, names=found.names, image_size=found.image_size
    )
    if not np.array_equal(vq.unpack_codes(again).codes, codes):
        raise AssertionError("packed again they are others")


def mutated(sources: list[bytes], random: np.random.Generator) -> bytes:
    content = sources[random.integers(len(sources))]
    kind = random.integers(6)
    if kind == 0:  # bits
        return flipped(content, random)
    if kind == 1:  # cut
        return content[: random.integers(len(content))]
    if kind == 2:  # more
        other = sources[random.integers(len(sources))]
        return content + other[: random.integers(1, len(other) + 1)]
    if kind == 3:  # one's beginning, another's end
        other = sources[random.integers(len(sources))]
        if random.integers(2):
            return content[: start_of(content)] + other[start_of(other) :]
        return content[: random.integers(len(content))] + other[random.integers(len(other)) :]
    header, payload = parts(content)
    if kind == 4:  # numbers of the header, right checksums
        return sealed(changed(header, random), payload)
    if random.integers(2):
        header = flipped(header, random)
    return sealed(header, resized(payload, random))


def start_of(content: bytes) -> int:
    rank, counts = content[10], content[12] + 256 * content[13]
    return FIXED.size + 8 * rank + 4 * counts + int.from_bytes(content[64:68], "little") + 4


def parts(content: bytes) -> tuple[bytes, bytes]:
    """The header and the codes, without their checksums."""
    start = start_of(content)
    return content[: start - 4], content[start:-4]


def sealed(header: bytes, payload: bytes) -> bytes:
    seals = [struct.pack("<I", zlib.crc32(each)) for each in (header, payload)]
    return b"".join((header, seals[0], payload, seals[1]))


def flipped(content: bytes, random: np.random.Generator) -> bytes:
    result = bytearray(content)
    for _ in range(random.integers(1, 4)):
        result[random.integers(len(result))] ^= 1 << int(random.integers(8))
    return bytes(result)


def changed(header: bytes, random: np.random.Generator) -> bytes:
    """Numbers of the header replaced by others; now and then shape and counts grow or shrink."""
    fields: list[Any] = list(FIXED.unpack_from(header))
    rank, counts = fields[2], fields[4]
    axes = list(struct.unpack_from(f"<{rank}Q{counts}I", header, FIXED.size))
    names = header[FIXED.size + 8 * rank + 4 * counts :]
    sizes = [0, 16, 8, 8, 16, 16, 32, 32, 64, 0, 32]
    for _ in range(random.integers(1, 4)):
        value = EXTREMES[random.integers(len(EXTREMES))]
        place = int(random.integers(len(fields) + len(axes)))
        if place < len(fields):
            if sizes[place]:
                fields[place] = value % (1 << sizes[place])
        elif place - len(fields) < rank:
            axes[place - len(fields)] = value
        else:
            axes[place - len(fields)] = value % (1 << 32)
    if random.integers(4) == 0:
        axes.insert(0, EXTREMES[random.integers(len(EXTREMES))])
        rank += 1
        fields[2] = rank
    if random.integers(8) == 0:
        names = names + b"\0" * int(random.integers(3)) + random.bytes(int(random.integers(4)))
        fields[10] = len(names)
    if random.integers(2):  # as many bytes as that shape would have
        total = 1
        for side in axes[:rank]:
            total *= side
        bits = [max(1, (max(count, 1) - 1).bit_length()) for count in axes[rank:]]
        rows = total // max(len(bits), 1)
        fields[8] = -(-rows * sum(bits) // 8) % (1 << 64)
    return FIXED.pack(*fields) + struct.pack(f"<{rank}Q{len(axes) - rank}I", *axes) + names


def resized(payload: bytes, random: np.random.Generator) -> bytes:
    kind = random.integers(4)
    if kind == 0 and payload:
        return flipped(payload, random)
    if kind == 1:
        return payload[: random.integers(len(payload) + 1)]
    if kind == 2:
        return payload + random.bytes(int(random.integers(1, 9)))
    return random.bytes(len(payload))


tools: list[Files] = []


def case(number: int) -> None:
    if not tools:
        tools.append(Files())
    tools[0].check(np.random.default_rng(number))


if __name__ == "__main__":
    # In memory, where truncating a file costs microseconds.
    if os.path.isdir("/dev/shm"):
        tempfile.tempdir = "/dev/shm"
    warnings.simplefilter("ignore")
    main(__file__, case, full=1_000_000, short=1_000, batch=5_000)
