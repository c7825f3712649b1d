"""Images in .npz archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vqswift import data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Twelve images that hold their number, labels, and an array that is neither."""
    images = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((2, 3, 3), np.uint8)
    where = tmp_path / "tiny.npz"
    np.savez(where, images=images, labels=np.arange(12) % 3, names=np.array(["a"] * 12))
    return where


def numbers(found: data.ImageSet) -> list[int]:
    return found.images[:, 0, 0, 0].tolist()


def test_every_so_many_images_are_for_test(path: Path) -> None:
    assert numbers(data.npz_images(path)) == list(range(12))
    test, training = (data.npz_images(path, split=part, every=5) for part in ("test", "train"))
    assert numbers(test) == [0, 5, 10] and test.labels.tolist() == [0, 2, 1]
    assert sorted(numbers(test) + numbers(training)) == list(range(12))
    assert test.name == "tiny test" and not test.images.flags.writeable


def test_keys_are_found_or_given(tmp_path: Path) -> None:
    gray = np.zeros((4, 5, 6), np.uint8)
    np.savez(tmp_path / "one.npz", x=gray, y=np.ones(4, int), z=np.zeros(4))
    found = data.npz_images(tmp_path / "one.npz")
    assert found.images.shape == (4, 5, 6, 1) and found.labels.tolist() == [0] * 4
    assert data.npz_images(tmp_path / "one.npz", labels="y").labels.tolist() == [1] * 4
    np.savez(tmp_path / "two.npz", a=gray, b=gray[:2])
    assert len(data.npz_images(tmp_path / "two.npz", "b")) == 2
    with pytest.raises(ValueError, match=r"key= must say which of 'a', 'b' are the images"):
        data.npz_images(tmp_path / "two.npz")


def test_archives_are_looked_for_in_the_roots(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQSWIFT_DATA", str(path.parent))
    assert len(data.npz_images("tiny.npz")) == 12
    with pytest.raises(FileNotFoundError, match=r"none.npz is missing; set VQSWIFT_DATA. Looked"):
        data.npz_images("none.npz")


def test_what_is_wrong_is_named(path: Path, tmp_path: Path) -> None:
    for arguments, text in (
        ({"key": "x"}, "tiny.npz: no 'x' among 'images', 'labels', 'names'"),
        ({"key": "labels"}, r"labels is int64 \[12\]: must be uint8 \[n, h, w, c\]"),
        ({"labels": "names"}, r"names is <U1 \[12\]: must be integers \[12\]"),
        ({"split": "valid"}, "split 'valid': must be 'train' or 'test'"),
        ({"every": 1}, "every 1: must be at least 2"),
    ):
        with pytest.raises(ValueError, match=text):
            data.npz_images(path, **arguments)  # type: ignore[arg-type]
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[:-30], whole[:60] + b"\xff" * 40 + whole[100:]):
        damaged = tmp_path / "damaged.npz"
        damaged.write_bytes(content)
        with pytest.raises(ValueError, match=r"\[npz_images\] .*damaged\.npz: "):
            data.npz_images(damaged)
    np.savez(tmp_path / "objects.npz", images=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"objects\.npz: images: "):
        data.npz_images(tmp_path / "objects.npz")


@pytest.mark.parametrize(("dtype", "start"), [(np.int64, 2**32), (np.uint64, 2**63)])
def test_labels_beyond_int32_are_refused(tmp_path: Path, dtype: type, start: int) -> None:
    labels = np.arange(20, dtype=dtype) + dtype(start)
    np.savez(tmp_path / "far.npz", images=np.zeros((20, 2, 2), np.uint8), labels=labels)
    with pytest.raises(ValueError, match=rf"far.npz: labels {start}.* they do not fit in int32"):
        data.npz_images(tmp_path / "far.npz")


@pytest.mark.parametrize(
    ("name", "every", "count", "classes"),
    [("faces/faces64.npz", 11, 80, 1), ("flowers/flowers64.npz", 5, 100, 5)],
)
def test_the_small_sets(name: str, every: int, count: int, classes: int) -> None:
    try:
        found = data.npz_images(name, split="test", every=every)
    except FileNotFoundError:
        pytest.skip(f"{name} is not in VQSWIFT_DATA or ../shared/data")
    assert found.images.shape == (count, 64, 64, 3)
    assert len(np.unique(found.labels)) == classes
