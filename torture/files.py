"""Mutated checkpoints, image files and image sets through every loader.

A case damages one file and loads it. The loader takes it or raises one of its documented errors,
whose text names the file; after a refusal model, optimizers, generators, position and step have not
changed by a bit.
"""

import hashlib
import io
import json
import os
import struct
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import vqswift as vq
from _campaign import main
from vqswift import data, nn, train
from vqswift.data import _files, _sets

WORDS = [b"F32", b"F64", b"I64", b"BF16", b"BOOL", b"F4", b"null", b"-1", b"0", b"1e3", b"{", b"}"]
WORDS += [b"[", b"]", b'"', b",", b":", b"\\u0000", b"\\ud800", b"\xff", b"\xc3\xa9", b"e\xcc\x81"]
WORDS += [b"18446744073709551616", b"9223372036854775807", b"4611686018427387904", b"  ", b"\n"]


class Model(nn.Module):
    """Every kind of state in few arrays."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm(2), nn.Dropout(0.1))
        self.quantizer = vq.VectorQuant(
            2,
            4,
            sync_nu=1.0,
            replace_freq=3,
            inplace_optimizer=lambda parameters: vq.optim.SGD(parameters, lr=0.1, momentum=0.9),
        )
        self.decoder = nn.Linear(2, 3)

    def forward(self, x: vq.Tensor) -> tuple[vq.Tensor, vq.QuantizerInfo]:
        z_q, info = self.quantizer(self.encoder(x))
        return self.decoder(z_q), info


class Checkpoints:
    """A trainer, its checkpoint and the state that it must keep."""

    def __init__(self) -> None:
        vq.set_threads(1)
        vq.manual_seed(0)
        model = Model()
        pixels = np.random.default_rng(0).integers(256, size=(8, 2, 2, 3), dtype=np.uint8)
        optimizer = vq.optim.AdamW(model.parameters(), lr=1e-3)
        self.run = train.Trainer(model, optimizer, data.Batches(pixels, batch_size=4))
        self.run.fit(3, progress=False)
        self.path = Path("checkpoint").resolve()
        train.save_trainer(self.run, self.path)
        content = self.path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        self.header, self.data = content[8 : 8 + length], content[8 + length :]
        self.layout = json.loads(self.header)
        self.original = Path("original").resolve()
        self.original.write_bytes(content)
        self.state = self.picture()

    def picture(self) -> tuple[Any, ...]:
        model, optimizer = self.run.model, self.run.optimizer
        inner, codebook = model.quantizer.inplace_optimizers[0], model.quantizer.codebooks[0]
        states = (model.state_dict(), optimizer.state_dict(), inner.state_dict())
        arrays = [(n, v) for s in (*states, model.rng_state_dict()) for n, v in s.items()]
        gradient = None if codebook.grad is None else codebook.grad.numpy().tobytes()
        bits = [(name, value.tobytes()) for name, value in arrays]
        return bits, gradient, self.run.step, self.run.batches.state_dict()

    def mutated(self, random: np.random.Generator) -> bytes:
        kind = random.integers(6)
        if kind == 0:  # bytes anywhere
            return damaged(self.original_bytes(), random)
        if kind == 1:  # the header's text
            header = damaged(self.header, random)
            return struct.pack("<Q", len(header)) + header + self.data
        if kind == 2:  # the elements
            return struct.pack("<Q", len(self.header)) + self.header + scattered(self.data, random)
        layout = json.loads(self.header)
        names = list(layout)
        for _ in range(random.integers(1, 3)):
            change(layout, names[random.integers(len(names))], random)
        header = json.dumps(layout).encode()
        return struct.pack("<Q", len(header)) + header + self.data

    def original_bytes(self) -> bytes:
        return struct.pack("<Q", len(self.header)) + self.header + self.data

    def check(self, random: np.random.Generator) -> None:
        self.path.write_bytes(self.mutated(random))
        loader = random.integers(5)
        run = self.run
        try:
            if loader == 0:
                train.load_trainer(run, self.path)
            elif loader == 1:
                train.load_model(run.model, self.path)
            else:
                arrays, _ = vq.load(self.path)
                part = ("model.", "optim.", "rng.")[loader - 2]
                state = {n.removeprefix(part): v for n, v in arrays.items() if n.startswith(part)}
                if loader == 2:
                    run.model.load_state_dict(state, strict=False)
                elif loader == 3:
                    run.optimizer.load_state_dict(state)
                else:
                    run.model.load_rng_state_dict(state)
        except (ValueError, TypeError) as error:
            str(error).encode()
            if self.picture() != self.state:
                raise AssertionError(f"changed by what was refused: {error}") from error
        else:
            if self.picture() != self.state:
                train.load_trainer(run, self.original)
                if self.picture() != self.state:
                    raise AssertionError("the original does not bring its state back")


def change(layout: dict[str, Any], name: str, random: np.random.Generator) -> None:
    """Changes one entry of a header in a way that leaves it JSON."""
    entry = layout.pop(name, None)
    numbers = [-1, 0, 1, 7, 2**31, 2**32, 2**62, 2**63 - 1, 2**64, 1.5, "1", None]
    number = numbers[random.integers(len(numbers))]
    kind = random.integers(7)
    if entry is None or kind == 0:
        return
    if kind == 1:
        layout[name[:-1] + chr(random.integers(1, 0x300))] = entry
        return
    layout[name] = entry
    if name == "__metadata__":
        key = ("step", "batches")[random.integers(2)]
        position = json.loads(entry["batches"])
        position[("seed", "epoch", "position")[random.integers(3)]] = number
        entry[key] = json.dumps(position if key == "batches" else number)
    elif "shape" not in entry:  # of the metadata, which an earlier change put there
        return
    elif kind == 2:
        entry["dtype"] = WORDS[random.integers(6)].decode()
    elif kind == 3:
        entry["shape"] = [*entry["shape"], number][random.integers(2) :]
    elif kind == 4 and entry["shape"]:
        entry["shape"][random.integers(len(entry["shape"]))] = number
    elif kind == 5:
        entry["data_offsets"][random.integers(2)] = number
    else:
        others = list(layout)
        layout[name] = layout[others[random.integers(len(others))]]


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Bytes flipped, cut, repeated or replaced by words."""
    result = bytearray(content)
    for _ in range(random.integers(1, 4)):
        at, kind = int(random.integers(len(result) + 1)), random.integers(6)
        if kind == 0:
            del result[at:]
        elif kind == 1:
            result[at : at + int(random.integers(1, 16))] = b""
        elif kind == 2:
            word = WORDS[random.integers(len(WORDS))]
            result[at : at + len(word) * int(random.integers(2))] = word
        elif kind == 3:
            other = int(random.integers(len(result) + 1))
            result[at:at] = result[other : other + int(random.integers(1, 64))]
        elif at < len(result):
            result[at] = (
                int(random.integers(256))
                if kind == 4
                else result[at] ^ 1 << int(random.integers(8))
            )
    return bytes(result)


def scattered(content: bytes, random: np.random.Generator) -> bytes:
    """Some words of four bytes replaced: NaN, infinities, extremes, anything."""
    words = np.frombuffer(content, np.uint32).copy()
    extremes = [0x7FC00000, 0x7F800000, 0xFF800000, 0x80000000, 0x7F7FFFFF, 1, 0xFFFFFFFF]
    for _ in range(random.integers(1, 5)):
        chosen = random.integers(len(extremes) + 1)
        word = extremes[chosen] if chosen < len(extremes) else random.integers(1 << 32)
        words[random.integers(len(words))] = word
    return words.tobytes()


class Pictures:
    """A folder with one picture, damaged copies of pictures of every kind."""

    def __init__(self) -> None:
        from PIL import Image

        pixels = np.random.default_rng(0).integers(256, size=(9, 11, 4), dtype=np.uint8)
        color, clear = Image.fromarray(pixels[:, :, :3]), Image.fromarray(pixels)
        gray = Image.fromarray(pixels[:, :, 0])
        deep = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
        turned = Image.Exif()
        turned[0x0112] = 6
        kinds: list[tuple[str, Any, dict[str, Any]]] = [
            ("jpg", color, {"exif": turned}),
            ("jpg", color.convert("CMYK"), {}),
            ("jpg", gray, {"progressive": True}),
            ("png", clear, {}),
            ("png", deep, {}),
            ("png", gray.convert("1"), {}),
            ("png", color.quantize(16), {"transparency": 3}),
            ("webp", clear, {"lossless": True}),
            ("bmp", color, {}),
            ("ppm", color, {}),
            ("tif", deep, {"compression": "tiff_lzw"}),
            ("tif", Image.fromarray(pixels[:, :, 0] / np.float32(255)), {}),
            ("tif", color, {"compression": "tiff_deflate"}),
        ]
        names = {"jpg": "JPEG", "tif": "TIFF"}
        self.sources = []
        for suffix, picture, options in kinds:
            out = io.BytesIO()
            picture.save(out, names.get(suffix, suffix.upper()), **options)
            self.sources.append((suffix, out.getvalue()))
        folder = Path("pictures", "class")
        folder.mkdir(parents=True)
        for suffix, _ in self.sources:
            (folder / f"a.{suffix}").write_bytes(b"")
        self.folder = data.ImageFolder("pictures", size=8)
        self.index = {path.suffix[1:]: i for i, path in enumerate(self.folder.paths)}

    def check(self, random: np.random.Generator) -> None:
        suffix, content = self.sources[random.integers(len(self.sources))]
        path = self.folder.paths[self.index[suffix]]
        path.write_bytes(damaged(content, random))
        draws = random if random.integers(2) else None
        try:
            image = self.folder.image(self.index[suffix], draws)
        except ValueError as error:
            if str(path) not in str(error):
                raise AssertionError(f"the text does not name the file: {error}") from error
        else:
            if image.shape != (8, 8, 3) or image.dtype != np.float32:
                raise AssertionError(f"an image {image.shape} of {image.dtype}")
            if not (image.min() >= 0 and image.max() <= 1):
                raise AssertionError(f"pixels from {image.min()} to {image.max()}")


class Sets:
    """Small MNIST-like and CIFAR-like files, plain and compressed."""

    def __init__(self) -> None:
        import gzip
        import lzma

        pixels = np.arange(2 * 28 * 28, dtype=np.uint8).tobytes()
        self.files = {
            "train-images-idx3-ubyte": struct.pack(">4I", 0x803, 2, 28, 28) + pixels,
            "train-labels-idx1-ubyte": struct.pack(">2I", 0x801, 2) + b"\7\3",
        }
        self.packers = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
        self.folder = Path("sets", "mnist")
        self.folder.mkdir(parents=True)
        sources = tuple(
            _files.Source(name, len(content), hashlib.md5(content).hexdigest())
            for name, content in self.files.items()
        )
        _sets._IDX = _sets._IDX | {"mnist": {"train": sources}}
        self.verify = _sets.verify

    def check(self, random: np.random.Generator) -> None:
        # Without the checksum the readers behind it see what is damaged.
        _sets.verify = (lambda *_: None) if random.integers(2) else self.verify
        suffix = list(self.packers)[random.integers(3)]
        name = list(self.files)[random.integers(2)]
        for old in self.folder.iterdir():
            old.unlink()
        for other, content in self.files.items():
            (self.folder / other).write_bytes(content)
        (self.folder / name).unlink()
        path = self.folder / (name + suffix)
        path.write_bytes(damaged(self.packers[suffix](self.files[name]), random))
        try:
            data.mnist("train", "sets")
        except ValueError as error:
            if str(path) not in str(error):
                raise AssertionError(f"the text does not name the file: {error}") from error


tools: dict[str, Any] = {}


def case(number: int) -> None:
    random = np.random.default_rng(number)
    chosen = random.integers(20)
    kind = Checkpoints if chosen < 12 else Pictures if chosen < 19 else Sets
    if kind.__name__ not in tools:
        tools[kind.__name__] = kind()
    tools[kind.__name__].check(random)


if __name__ == "__main__":
    # In memory, where truncating a file costs microseconds.
    if os.path.isdir("/dev/shm"):
        tempfile.tempdir = "/dev/shm"
    warnings.simplefilter("ignore")
    main(__file__, case, full=1_000_000, short=4_000, batch=5_000)
