"""Image sets, crops of the photographs, and batches."""

from __future__ import annotations

import builtins
import gzip
import hashlib
import lzma
import struct
from pathlib import Path

import numpy as np
import pytest
from vqswift import data
from vqswift.data import _files, _sets


def needs(name: str) -> None:
    if not data.has(name):
        pytest.skip(f"{name} is not in VQSWIFT_DATA or ../shared/data")


def idx(magic: int, values: np.ndarray) -> bytes:
    return struct.pack(f">{1 + values.ndim}I", magic, *values.shape) + values.tobytes()


@pytest.fixture
def tiny_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with a two-image training set that the reader takes for MNIST's."""
    images = idx(0x803, np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28))
    labels = idx(0x801, np.array([7, 3], np.uint8))
    folder = tmp_path / "mnist"
    folder.mkdir()
    sources = []
    for stem, content in (
        ("train-images-idx3-ubyte", images),
        ("train-labels-idx1-ubyte", labels),
    ):
        (folder / stem).write_bytes(content)
        sources.append(_files.Source(stem, len(content), hashlib.md5(content).hexdigest()))
    monkeypatch.setitem(_sets._IDX, "mnist", {"train": tuple(sources)})
    return tmp_path


@pytest.mark.parametrize(
    ("name", "load", "shape", "mean"),
    [
        ("mnist", data.mnist, (28, 28, 1), (0.1307,)),
        ("fashion-mnist", data.fashion_mnist, (28, 28, 1), (0.2860,)),
        ("cifar10", data.cifar10, (32, 32, 3), (0.4914, 0.4822, 0.4465)),
    ],
)
def test_sets_have_the_published_shapes_means_and_counts(name, load, shape, mean):
    needs(name)
    training, test = load("train"), load("test")
    assert training.images.shape == ({"cifar10": 50_000}.get(name, 60_000), *shape)
    assert test.images.shape == (10_000, *shape)
    assert training.images.dtype == np.uint8 and training.labels.dtype == np.int32
    found = training.images.mean(axis=(0, 1, 2)) / 255
    assert found == pytest.approx(mean, abs=5e-5)  # the published means have four digits
    counts = np.bincount(training.labels, minlength=10)
    if name == "mnist":
        assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    else:
        assert (counts == len(training) // 10).all()
    assert not training.images.flags.writeable and not training.labels.flags.writeable


@pytest.mark.parametrize("pack", [None, gzip.compress, lzma.compress], ids=["plain", "gz", "xz"])
def test_reads_plain_gz_and_xz(tiny_mnist, pack):
    if pack is not None:
        suffix = ".gz" if pack is gzip.compress else ".xz"
        for path in list((tiny_mnist / "mnist").iterdir()):
            path.with_name(path.name + suffix).write_bytes(pack(path.read_bytes()))
            path.unlink()
    found = data.mnist("train", tiny_mnist)
    assert found.images.shape == (2, 28, 28, 1)
    assert found.images.ravel()[:3].tolist() == [0, 1, 2]
    assert found.labels.tolist() == [7, 3]


def test_missing_file_lists_where_it_looked(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        data.fashion_mnist("test", tmp_path)
    assert str(caught.value) == (
        "[fashion-mnist] t10k-images-idx3-ubyte (plain, .gz or .xz) is missing; set VQSWIFT_DATA "
        f"or pass root=. Looked in\n  {tmp_path}/fashion-mnist\n  {tmp_path}/FashionMNIST/raw"
        f"\n  {tmp_path}"
    )


def test_environment_comes_before_the_neighboring_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VQSWIFT_DATA", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    roots = data.search_roots()
    assert roots[:2] == [tmp_path / "elsewhere", tmp_path.parent / "shared" / "data"]
    assert data.search_roots("here") == [Path("here")]


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_truncated_file_names_both_sizes(tiny_mnist, suffix):
    path = tiny_mnist / "mnist" / "train-images-idx3-ubyte"
    content = path.read_bytes()
    path.unlink()
    random = np.random.default_rng(0).integers(256, size=len(content), dtype=np.uint8).tobytes()
    packed = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix](random)
    path = path.with_name(path.name + suffix)
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=r"expected 1584 bytes of uncompressed content, found"):
        data.mnist("train", tiny_mnist)
    if suffix == "":
        path.write_bytes(content[:100])
        with pytest.raises(ValueError) as caught:
            data.mnist("train", tiny_mnist)
        assert str(caught.value) == (
            f"[mnist] {path}: expected 1584 bytes of uncompressed content, found 100"
        )


def test_longer_file_is_refused(tiny_mnist):
    path = tiny_mnist / "mnist" / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes() + b"x" * 50)
    with pytest.raises(ValueError, match=r"expected 10 bytes .* found more than 10"):
        data.mnist("train", tiny_mnist)


def test_bad_magic_is_named(tiny_mnist):
    path = tiny_mnist / "mnist" / "train-images-idx3-ubyte"
    path.write_bytes(b"\0\0\x08\x01" + path.read_bytes()[4:])
    with pytest.raises(ValueError) as caught:
        data.mnist("train", tiny_mnist)
    assert str(caught.value) == f"[mnist] {path}: expected magic 0x803, found 0x801"


def test_shape_that_does_not_fit_the_length_is_named(tiny_mnist):
    path = tiny_mnist / "mnist" / "train-images-idx3-ubyte"
    content = path.read_bytes()
    path.write_bytes(content[:4] + struct.pack(">I", 3) + content[8:])
    with pytest.raises(ValueError, match=r"announces shape \[3, 28, 28\], 2368 bytes .* 1584"):
        data.mnist("train", tiny_mnist)


def test_wrong_checksum_names_expected_and_found(tiny_mnist):
    path = tiny_mnist / "mnist" / "train-images-idx3-ubyte"
    content = path.read_bytes()
    changed = content[:-1] + b"\xff"
    path.write_bytes(changed)
    expected, found = (hashlib.md5(value).hexdigest() for value in (content, changed))
    with pytest.raises(ValueError) as caught:
        data.mnist("train", tiny_mnist)
    assert str(caught.value) == (
        f"[mnist] {path}: expected md5 {expected} of the uncompressed content, found {found}"
    )


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_damaged_stream_is_named(tiny_mnist, suffix):
    path = tiny_mnist / "mnist" / "train-images-idx3-ubyte"
    path.unlink()
    damaged = path.with_name(path.name + suffix)
    damaged.write_bytes(b"not a compressed stream")
    with pytest.raises(ValueError, match=f"{damaged.name}: damaged {suffix[1:]} stream"):
        data.mnist("train", tiny_mnist)


def test_split_and_set_names_are_checked():
    with pytest.raises(ValueError, match=r"\[cifar10\] split 'valid': must be 'train' or 'test'"):
        data.cifar10("valid")
    with pytest.raises(ValueError, match="set 'svhn': must be one of 'mnist', 'fashion-mnist'"):
        data.has("svhn")


def test_photos_are_reproducible_and_never_cross_the_split():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pytest.importorskip("PIL", reason="Pillow is not installed")
    from vqswift.data._photos import _load

    pictures = _load()
    for split, columns in (("train", slice(0, 400)), ("test", slice(400, 640))):
        crops = data.photos(split, 200, seed=3)
        again = data.photos(split, 200, seed=3)
        assert crops.images.shape == (200, 32, 32, 3)
        assert np.array_equal(crops.images, again.images)
        assert set(crops.labels.tolist()) == {0, 1}
        assert not np.array_equal(crops.images, data.photos(split, 200, seed=4).images)
        part = pictures[crops.labels[0]][:, columns]
        windows = np.lib.stride_tricks.sliding_window_view(part, (32, 32), axis=(0, 1))
        wanted = crops.images[0].transpose(2, 0, 1)
        assert (windows == wanted).all(axis=(2, 3, 4)).any()


def test_photos_take_integers_of_numpy():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    narrow = np.uint8
    found = data.photos("train", narrow(9), size=narrow(40), seed=narrow(3))
    assert np.array_equal(found.images, data.photos("train", 9, size=40, seed=3).images)


def test_photos_credit_both_photographers():
    for words in ("danielbuechele", "vultilion", "CC BY 2.0"):
        assert words in data.PHOTO_CREDITS


@pytest.mark.parametrize("arguments", [{"count": 0}, {"size": 0}, {"size": 241}])
def test_photos_out_of_range(arguments):
    with pytest.raises(ValueError, match=r"\[photos\]"):
        data.photos("train", **arguments)


def test_photos_without_the_extra_say_what_to_install(monkeypatch):
    original = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] in ("PIL", "sklearn"):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "vqswift\[train\]"'):
        data.photos("train", 1)


def numbered(count: int) -> np.ndarray:
    """Images whose pixels all hold the image's number."""
    return np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2, 1), np.uint8)


def numbers(batch: np.ndarray) -> list[int]:
    return np.rint(batch[:, 0, 0, 0] * 255).astype(int).tolist()


def test_batches_are_unit_range_floats_of_every_image_once():
    batches = data.Batches(numbered(10), batch_size=4, drop_last=False)
    found = list(batches)
    assert [batch.shape for batch in found] == [(4, 2, 2, 1), (4, 2, 2, 1), (2, 2, 2, 1)]
    assert all(batch.dtype == np.float32 for batch in found)
    assert sorted(numbers(np.concatenate(found))) == list(range(10))
    assert data.unit_range(np.array([0, 51, 255], np.uint8)).tolist() == [0, np.float32(0.2), 1]


def test_batches_drop_an_incomplete_last_one_only_when_shuffled_or_asked():
    assert len(data.Batches(numbered(10), batch_size=4)) == 2
    assert len(data.Batches(numbered(10), batch_size=4, shuffle=False)) == 3
    in_order = data.Batches(numbered(10), batch_size=4, shuffle=False)
    assert numbers(np.concatenate(list(in_order))) == list(range(10))


def test_order_depends_on_seed_and_epoch_alone():
    def epochs(seed: int) -> list[list[int]]:
        batches = data.Batches(numbered(50), batch_size=50, seed=seed)
        return [numbers(batch) for _ in range(2) for batch in batches]

    assert epochs(1) == epochs(1)
    assert epochs(1) != epochs(2)
    assert epochs(1)[0] != epochs(1)[1]


@pytest.mark.parametrize("taken", [0, 1, 3, 4, 7])
def test_position_resumes_where_it_was_saved(taken):
    original = data.Batches(numbered(14), batch_size=4, seed=5)
    stream = original.forever()
    for _ in range(taken):
        next(stream)
    resumed = data.Batches(numbered(14), batch_size=4, seed=99)
    resumed.load_state_dict(original.state_dict())
    following = resumed.forever()
    for _ in range(8):
        assert numbers(next(stream)) == numbers(next(following))


def test_labels_travel_with_their_images():
    labels = np.arange(9) + 100
    for images, found in data.Batches(numbered(9), labels, batch_size=3):
        assert found.dtype == np.int32
        assert (found - 100).tolist() == numbers(images)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"images": np.zeros(4, np.uint8)}, ValueError, r"images \[4\]: must be \[n, h,"),
        ({"images": np.zeros((0, 3, 3, 1), np.uint8)}, ValueError, "must not be empty"),
        ({"images": np.zeros((2, 3, 3, 1), np.int64)}, TypeError, "must be uint8, uint16, float16"),
        ({"images": np.full((2, 3, 3, 1), 2, np.float32)}, ValueError, r"from 2 to 2: .* \[0, 1\]"),
        ({"images": np.full((2, 3, 3, 1), np.nan, np.float32)}, ValueError, "from nan to nan"),
        ({"labels": np.zeros(3, int)}, ValueError, r"labels \[3\]: must be \[4\]"),
        ({"labels": np.zeros(4)}, TypeError, "labels of float64: must be integers"),
        ({"batch_size": 0}, ValueError, "batch_size 0: must be at least 1"),
        ({"batch_size": 5}, ValueError, "batch_size 5 and 4 images: no complete batch"),
    ],
)
def test_bad_batches_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        data.Batches(**({"images": numbered(4), "batch_size": 2} | arguments))


def test_bad_position_is_refused():
    batches = data.Batches(numbered(4), batch_size=2)
    with pytest.raises(ValueError, match="state without epoch"):
        batches.load_state_dict({"seed": 0, "position": 0})
    with pytest.raises(ValueError, match="position 3: an epoch has 2 batches"):
        batches.load_state_dict({"seed": 0, "epoch": 0, "position": 3})


@pytest.mark.parametrize("label", [2**32 + 1, 2**31, -(2**31) - 1])
def test_labels_beyond_int32_are_refused(label: int) -> None:
    with pytest.raises(ValueError, match="do not fit in int32"):
        data.Batches(np.zeros((2, 2, 2, 3), np.uint8), np.array([label, 3]), batch_size=2)


def test_masks_of_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[unit_range\] images has masked elements"):
        data.unit_range(np.ma.masked_array([1.0, 2.0], mask=[0, 1]))
