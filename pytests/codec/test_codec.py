"""Image files to codes and back, against NumPy and Pillow."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import peak_of
from vqswift import codec, nn
from vqswift._atomic import write_whole
from vqswift.codec import _batches, _writing
from vqswift.codec._batches import grouped

Image: Any = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

SIZES = [(32, 32), (5, 7), (33, 30), (1, 1), (32, 32), (8, 4)]


@pytest.fixture(scope="module")
def model() -> vq.models.SQVAE:
    vq.manual_seed(0)
    found = vq.models.SQVAE(vq.VectorQuant(8, 37), width=8)
    found(np.random.default_rng(0).random((8, 32, 32, 3), np.float32))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs of several sizes, one below another folder."""
    random = np.random.default_rng(3)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for index, size in enumerate(SIZES):
        pixels = random.integers(256, size=(*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(
            tmp_path / "in" / ("sub" if index == 2 else "") / f"{index}.png"
        )
    return tmp_path / "in"


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def path_of(folder: Path, index: int, suffix: str) -> Path:
    return folder / ("sub" if index == 2 else "") / f"{index}{suffix}"


def padded(pixels: np.ndarray, side: int = 4) -> np.ndarray:
    """One image [1, h', w', c] in 0...1, its last rows and columns repeated."""
    rows, columns = (
        np.arange(-(-length // side) * side).clip(0, length - 1) for length in pixels.shape[:2]
    )
    return (pixels[rows][:, columns].astype(np.float32) / np.float32(255))[None]


def bytes_of(images: np.ndarray) -> np.ndarray:
    return np.floor(images.clip(0, 1) * np.float64(255) + 0.5).astype(np.uint8)


def test_codes_are_the_networks_of_the_padded_image(
    model: vq.models.SQVAE, folder: Path, tmp_path: Path
) -> None:
    tally = codec.encode_files(model, folder, tmp_path / "codes")
    assert model.training and (tally.written, tally.existing, tally.damaged) == (6, 0, [])
    cells = 0
    for index, size in enumerate(SIZES):
        image = padded(pixels_of(path_of(folder, index, ".png")))
        found = vq.load_codes(path_of(tmp_path / "codes", index, ".vq"), model=model)
        wanted = model.eval().encode(image).numpy()[0]
        model.train()
        np.testing.assert_array_equal(found.codes, wanted)
        assert (found.num_codes, found.image_size, found.names) == (37, size, ())
        cells += wanted.size
    assert tally.bits_per_pixel == 6 * cells / sum(h * w for h, w in SIZES)
    files = [path for path in (tmp_path / "codes").rglob("*") if path.is_file()]
    assert tally.file_bits == 8 * sum(path.stat().st_size for path in files)


def test_decoding_gives_the_image_in_its_own_size(
    model: vq.models.SQVAE, folder: Path, tmp_path: Path
) -> None:
    codes, images = tmp_path / "codes", tmp_path / "images"
    codec.encode_files(model, [folder], codes)
    assert codec.decode_files(model, codes, images).written == 6
    for index, (height, width) in enumerate(SIZES):
        own = vq.load_codes(path_of(codes, index, ".vq")).codes
        wanted = bytes_of(model.eval().decode(own[None]).numpy())[0, :height, :width]
        model.train()
        # Batches of other sizes round otherwise in the last bits of a float.
        found = pixels_of(path_of(images, index, ".png"))
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted).max() <= 1


def test_a_reconstruction_is_what_decoding_gives_and_is_measured(
    model: vq.models.SQVAE, folder: Path, tmp_path: Path
) -> None:
    codec.encode_files(model, folder, tmp_path / "codes")
    codec.decode_files(model, tmp_path / "codes", tmp_path / "decoded")
    tally = codec.reconstruct_files(model, folder, tmp_path / "again")
    levels = []
    for index in range(len(SIZES)):
        path = path_of(folder, index, ".png")
        found = path_of(tmp_path / "again", index, ".png")
        assert found.read_bytes() == path_of(tmp_path / "decoded", index, ".png").read_bytes()
        error = (pixels_of(found) / 255.0 - pixels_of(path) / 255.0) ** 2
        levels.append(-10 * np.log10(error.mean()))
        # Pixels of the original are float32.
        assert tally.psnr_of[path] == pytest.approx(levels[-1], abs=1e-5)
    assert tally.psnr == pytest.approx(np.mean(levels), abs=1e-5)


class Network(nn.Module):
    """Sums of 2 x 2 pixels to a hundred levels of gray, without a quantizer."""

    num_codes = 100
    side_multiple = 2
    config = {"channels": 1}

    def encode(self, x: Any) -> Any:
        n, h, w, _ = x.shape
        means = x.numpy().reshape(n, h // 2, 2, w // 2, 2).mean((2, 4))
        return vq.Tensor(np.rint(means * 99).astype(np.int32))

    def decode(self, codes: Any) -> Any:
        return vq.Tensor(
            np.kron(codes.numpy() / np.float32(99), np.ones((2, 2), np.float32))[..., None]
        )


def test_an_own_network_and_gray_images(folder: Path, tmp_path: Path) -> None:
    tally = codec.reconstruct_files(Network(), folder / "5.png", tmp_path / "out")
    gray = pixels_of(folder / "5.png") @ np.array([0.299, 0.587, 0.114]) / 255
    means = np.rint(gray.reshape(4, 2, 2, 2).mean((1, 3)) * 99) / 99
    wanted = bytes_of(np.kron(means, np.ones((2, 2))))
    np.testing.assert_array_equal(pixels_of(tmp_path / "out" / "5.png"), wanted)
    assert tally.bits_per_pixel == 7 / 4


QUANTIZERS: dict[str, tuple[Callable[[], vq.Quantizer], int, tuple[int, ...]]] = {
    "fsq": (lambda: vq.FSQ([5, 4, 3, 2]), 120, ()),
    "lfq": (lambda: vq.LFQ(4), 16, ()),
    "groups": (lambda: vq.GroupVectorQuant(4, 9, groups=2), 9, (2,)),
    "residual": (lambda: vq.ResidualVectorQuant(4, 9, stages=3), 9, (3,)),
    "gumbel": (lambda: vq.GumbelQuant(4, 7), 7, ()),
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_every_quantizer(name: str, folder: Path, tmp_path: Path) -> None:
    make, num_codes, further = QUANTIZERS[name]
    model = vq.models.SQVAE(make(), width=4, image_size=28)
    codec.encode_files(model, folder / "1.png", tmp_path / "codes")
    found = vq.load_codes(tmp_path / "codes" / "1.vq", model=model)
    assert found.codes.shape == (2, 2, *further) and found.num_codes == num_codes
    codec.decode_files(model, tmp_path / "codes", tmp_path / "images")
    assert pixels_of(tmp_path / "images" / "1.png").shape == (5, 7, 3)


def test_what_is_written_is_left_by_choice(
    model: vq.models.SQVAE, folder: Path, tmp_path: Path
) -> None:
    codes = tmp_path / "codes"
    codec.encode_files(model, folder, codes)
    other = vq.models.SQVAE(vq.FSQ([4, 4]), width=2, image_size=28)
    codec.encode_files(other, folder / "1.png", codes)
    (codes / "3.vq").write_bytes((codes / "3.vq").read_bytes()[:-1])
    (codes / "4.vq").unlink()
    before = {path: path.stat().st_mtime_ns for path in codes.rglob("*.vq")}
    tally = codec.encode_files(model, folder, codes, skip_existing=True)
    assert (tally.written, tally.existing) == (3, 3)
    after = {path: path.stat().st_mtime_ns for path in codes.rglob("*.vq")}
    changed = {path.name for path in after if before.get(path) != after[path]}
    assert changed == {"1.vq", "3.vq", "4.vq"}
    for index in range(6):
        assert vq.load_codes(path_of(codes, index, ".vq"), model=model).num_codes == 37
    for work in (codec.decode_files, codec.reconstruct_files):
        source = codes if work is codec.decode_files else folder
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / "0.png").write_bytes(b"mine")
        tally = work(model, source, tmp_path / "images", skip_existing=True)
        assert tally.existing == (1 if work is codec.decode_files else 6)
        assert (tmp_path / "images" / "0.png").read_bytes() == b"mine"


def test_a_damaged_image_is_named_or_left_out(
    model: vq.models.SQVAE, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = folder / "3.png"
    wrong.write_bytes(wrong.read_bytes()[:30])
    with pytest.raises(ValueError, match=rf"^\[encode\] {wrong}: "):
        codec.encode_files(model, folder, tmp_path / "codes", batch_size=1)
    assert {path.name for path in (tmp_path / "codes").iterdir()} == {"0.vq", "1.vq"}
    tally = codec.encode_files(model, folder, tmp_path / "codes", skip_damaged=True, progress=True)
    assert (tally.written, tally.damaged) == (5, [wrong])
    out, err = capsys.readouterr()
    assert err.startswith(f"skipped: [encode] {wrong}: ") and out == "encode 6/6 images\n"
    with pytest.raises(ValueError, match=r"0\.png: 32 x 32 pixels: at most max_pixels = 1000 are"):
        codec.reconstruct_files(model, folder / "0.png", tmp_path / "images", max_pixels=1000)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_a_full_disk_is_told(
    model: vq.models.SQVAE,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
) -> None:
    def write(path: Path, content: bytes) -> None:
        if path.name == "4.vq":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write_whole(path, content)

    monkeypatch.setattr(_writing, "write_whole", write)
    with pytest.raises(OSError, match=r"No space left on device: .*4\.vq"):
        codec.encode_files(model, folder, tmp_path / "codes", batch_size=batch_size)
    left = {path.name for path in (tmp_path / "codes").rglob("*.vq")}
    assert "0.vq" in left and "4.vq" not in left
    assert not [thread for thread in threading.enumerate() if "vqswift-writer" in thread.name]


def test_codes_that_are_not_the_networks_are_refused(
    model: vq.models.SQVAE, tmp_path: Path
) -> None:
    path, own = tmp_path / "a.vq", model.fingerprint()
    grid = np.zeros((2, 3), np.int32)
    cases: list[tuple[Any, int, dict[str, Any], str]] = [
        (grid, 37, {"model": own}, r"it tells no size of an image$"),
        (grid, 36, {"model": own, "image_size": (8, 12)}, r"num_codes \[36\]: the network has 37$"),
        (grid, 37, {"model": own, "image_size": (8, 13)}, r"codes \[2, 3\] of an image of 8 x 13 "),
        (grid[None], 37, {"model": own, "image_size": (8, 12)}, r"codes \[1, 2, 3\] of an image "),
        (
            grid,
            37,
            {"model": bytes([1] * 32), "image_size": (8, 12)},
            r"the codes are of the model",
        ),
        (grid, 37, {"model": own, "image_size": (2**30, 2**30)}, r"at most max_pixels = 33554432 "),
    ]
    for codes, num_codes, options, told in cases:
        vq.save_codes(path, codes, num_codes, **options)
        with pytest.raises(ValueError, match=rf"\] {path}: .*{told}"):
            codec.decode_files(model, path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    vq.save_codes(path, grid, 37, image_size=(8, 12))
    assert codec.decode_files(model, path, tmp_path / "out").written == 1


def test_inputs_that_would_become_one_file_are_refused(
    model: vq.models.SQVAE, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (folder / "0.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"0\.jpg and .*0\.png: both would become .*0\.vq; give"):
        codec.encode_files(model, folder, out)
    (folder / "0.jpg").unlink()
    with pytest.raises(
        ValueError, match=r"0\.png: .*0\.png is read too, and would be written over"
    ):
        codec.reconstruct_files(model, folder, os.path.relpath(folder))
    with pytest.raises(FileNotFoundError, match=r"^\[decode\] .*: no file in it ends in \.vq$"):
        codec.decode_files(model, folder, out)
    with pytest.raises(FileNotFoundError, match=r"nowhere: there is no such file or folder$"):
        codec.encode_files(model, [folder, tmp_path / "nowhere"], out)
    with pytest.raises(ValueError, match=r"^\[encode\] inputs = \[\]: at least one is required$"):
        codec.encode_files(model, [], out)
    with pytest.raises(ValueError, match=r"^\[encode\] batch_size = 0: must be at least 1$"):
        codec.encode_files(model, folder, out, batch_size=0)
    assert not out.exists()


def test_what_was_written_below_the_inputs_is_not_read(folder: Path) -> None:
    for _ in range(2):
        tally = codec.reconstruct_files(Network(), folder, folder / "out")
        assert tally.written == 6
    assert codec.encode_files(Network(), folder, folder).written == 12
    assert (folder / "sub" / "2.vq").is_file()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: vq.models.ResNet18(width=4), r"ResNet18 has no decode: an autoencoder with a qua"),
        (lambda: vq.models.SQVAE(None, width=4), r"SQVAE has no quantizer, and no codes$"),
        (
            lambda: vq.models.SQVAE(vq.LFQ(4), width=4, channels=2),
            r"SQVAE has 2 channels: 1, gray, or 3 are required$",
        ),
    ],
)
def test_networks_that_are_no_autoencoders_are_refused(
    make: Callable[[], nn.Module], told: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"^\[encode\] " + told):
        codec.encode_files(make(), folder, tmp_path / "out")


def test_the_same_codes_are_the_same_image_on_one_thread_and_two(
    model: vq.models.SQVAE, tmp_path: Path, threads: Callable[[int], None]
) -> None:
    codes = np.random.default_rng(5).integers(37, size=(2, 24, 20), dtype=np.int32)
    (tmp_path / "codes").mkdir()
    for index, own in enumerate(codes):
        vq.save_codes(tmp_path / "codes" / f"{index}.vq", own, 37, image_size=(95, 78))
    images = []
    for count in (1, 2):
        threads(count)
        images.append(model.eval().decode(codes).numpy().tobytes())
        codec.decode_files(model, tmp_path / "codes", tmp_path / str(count))
    model.train()
    assert images[0] == images[1]
    for index in range(2):
        one, two = (tmp_path / str(count) / f"{index}.png" for count in (1, 2))
        assert one.read_bytes() == two.read_bytes()


def test_memory_does_not_grow_with_the_folder(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    for index in range(80):
        Image.fromarray(pixels).save(tmp_path / "in" / f"{index}.png")

    def encode() -> None:
        tally = codec.encode_files(Network(), tmp_path / "in", tmp_path / "out", batch_size=4)
        assert tally.written == 80

    # Float32 gray images are 16 KiB each, 80 of them 1.25 MiB; a batch with its copies has 4.
    assert peak_of(encode) < 700_000


def test_an_image_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    Image.new("1", (5000, 5000)).save(tmp_path / "large.png")

    def encode() -> None:
        with pytest.raises(ValueError, match=r"large\.png: 5000 x 5000 pixels: at most max_pixels"):
            codec.encode_files(Network(), tmp_path / "large.png", tmp_path / "out", max_pixels=999)

    assert peak_of(encode) < 2_000_000  # of RGB it would be 75 MB


@pytest.mark.parametrize("length", [250, 251, 255])
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("x" * length)
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second" and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_images_of_one_size_share_a_batch_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = np.random.default_rng(1).integers(1, 40, 3000).tolist()
    waiting = most = 0

    def items() -> Any:
        nonlocal waiting, most
        for place, size in enumerate(sizes):
            waiting += 1
            most = max(most, waiting)
            yield size, size * size, (place, size)

    seen = []
    for batch in grouped(items(), 8):
        waiting -= len(batch.items)
        assert 1 <= len(batch.items) <= 8 and len({size for _, size in batch.items}) == 1
        assert batch.pixels == sum(size * size for _, size in batch.items)
        seen += [place for place, _ in batch.items]
    assert sorted(seen) == [*range(3000)] and most <= 4 * 8 + 1
    monkeypatch.setattr(_batches, "PIXELS_AT_ONCE", 100)
    batches = grouped(((7, 49, place) for place in range(5)), 8)
    assert [batch.items for batch in batches] == [[0, 1], [2, 3], [4]]
    batches = grouped(((s, 10 * s, s) for s in (9, 8, 7)), 8)
    assert [batch.items for batch in batches] == [[9], [8], [7]]
