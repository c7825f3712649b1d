"""Files of images in batches: transforms, resolutions, damage, CelebA."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vqswift import data
from vqswift.data import _picture

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

CROP = data.Compose([data.RandomResizedCrop(8), data.RandomHorizontalFlip()])


def smooth(height: int, width: int, phase: float = 0.0) -> np.ndarray:
    """A picture without detail: scaling in any way gives about the same."""
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    waves = [np.sin(3 * x + 2 * y + phase), np.cos(4 * y - x + phase), np.sin(2 * x * y + phase)]
    return np.uint8(np.stack(waves, axis=2) * 100 + 128)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of five pictures, of several sizes, PNG and JPEG."""
    for label, name in enumerate(("ant", "bee")):
        (tmp_path / name).mkdir()
        for index in range(5):
            picture = Image.fromarray(smooth(40 + 3 * index, 50 - index, label + index / 5))
            suffix = "png" if index % 2 else "jpg"
            picture.save(tmp_path / name / f"{index}.{suffix}")
    return tmp_path


def taken(folder: Path, count: int, **options: Any) -> list[Any]:
    files = data.ImageFolder(folder, transform=CROP)
    stream = data.Batches(files, batch_size=3, seed=1, **options).forever()
    return [next(stream) for _ in range(count)]


def test_a_folder_comes_in_batches_with_its_labels(folder: Path) -> None:
    files = data.ImageFolder(folder, transform=CROP)
    batches = data.Batches(files, batch_size=4, drop_last=False)
    found = list(batches)
    assert [x.shape for x, _ in found] == [(4, 8, 8, 3), (4, 8, 8, 3), (2, 8, 8, 3)]
    assert sorted(np.concatenate([y for _, y in found]).tolist()) == [0] * 5 + [1] * 5
    assert all(x.dtype == np.float32 and x.min() >= 0 and x.max() <= 1 for x, _ in found)
    (own,) = data.Batches(files, np.arange(10), batch_size=10, shuffle=False)
    assert own[1].tolist() == list(range(10))


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_read_the_same(folder: Path, workers: int) -> None:
    for (a, b), (c, d) in zip(taken(folder, 7), taken(folder, 7, workers=workers), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_a_picture_is_cropped_by_its_own_draws(folder: Path) -> None:
    files = data.ImageFolder(folder, transform=CROP)
    whole = dict(zip(range(10), next(iter(data.Batches(files, batch_size=10)))[0], strict=True))
    order = np.random.default_rng([0, 0]).permutation(10)
    pairs = np.concatenate([x for x, _ in data.Batches(files, batch_size=2)])
    np.testing.assert_array_equal(pairs, np.stack([whole[row] for row in range(10)]))
    np.testing.assert_array_equal(files.image(int(order[3])), pairs[3])


def test_transforms_of_files_are_those_of_arrays(folder: Path) -> None:
    """What reads a window gives, but for the rounding to 8 bits, what the array gives."""
    for index in (1, 3):  # PNG
        pixels = data.ImageFolder(folder).image(index)[None]
        for transform in (
            CROP,
            data.Resize(9),
            data.Compose([data.Resize((20, 30)), data.CenterCrop(8)]),
            data.Compose([data.CenterCrop(30), data.Resize(8)]),
            data.Compose([data.RandomCrop(20, padding=3), data.Normalize(0.5, 0.5)]),
            lambda x: x * 2,
        ):
            found = data.ImageFolder(folder, transform=transform).image(index)
            if isinstance(transform, data.Transform):
                expected = transform(pixels, data.Draws(0, 0, [index]))
            else:
                expected = transform(pixels)
            # Pillow rounds after each axis.
            np.testing.assert_allclose(found, expected[0], atol=1.01 / 255)


def test_a_subclass_is_called_as_it_says(folder: Path) -> None:
    class Inverted(data.RandomResizedCrop):
        def __call__(self, images: Any, draws: data.Draws | None = None) -> Any:
            return 1 - super().__call__(images, draws)

    pixels = data.ImageFolder(folder).image(1)[None]
    expected = 1 - data.RandomResizedCrop(8)(pixels, data.Draws(0, 0, [1]))
    for transform in (Inverted(8), data.Compose([Inverted(8)])):
        found = data.ImageFolder(folder, transform=transform).image(1)
        np.testing.assert_allclose(found, expected[0], atol=1e-6)


def test_values_are_laid_over_the_range_before_the_transform(folder: Path) -> None:
    def first(**options: Any) -> np.ndarray:
        files = data.ImageFolder(folder, **options)
        return next(iter(data.Batches(files, batch_size=2, shuffle=False, value_range=(-1, 1))))[0]

    unit = data.ImageFolder(folder, size=8).images(np.arange(2))
    np.testing.assert_allclose(first(size=8), unit * 2 - 1, atol=1e-6)
    crop = data.RandomResizedCrop(8)
    unit = data.ImageFolder(folder, transform=crop).images(np.arange(2))
    found = first(transform=data.Compose([crop, data.Normalize(1.0, 2.0)]))
    np.testing.assert_allclose(found, unit - 1, atol=1e-6)


def test_pictures_of_several_sizes_are_no_batch(folder: Path) -> None:
    files = data.ImageFolder(folder)
    assert files.image(0).shape == (40, 50, 3)
    with pytest.raises(ValueError, match=r"0\.jpg is \[40, 50, 3\] and .*1\.png \[43, 49, 3\]"):
        next(iter(data.Batches(files, batch_size=2, shuffle=False)))


# Resolutions of JPEG.


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize(("size", "scale"), [(8, 8), (20, 8), (50, 4), (60, 2), (150, 1)])
def test_a_jpeg_is_read_as_small_as_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int, size: int, scale: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = smooth(243, 331)
    for name, options in (("a.jpg", {"exif": exif, "quality": 95}), ("b.png", {"exif": exif})):
        Image.fromarray(pixels).save(tmp_path / name, **options)
    made: list[_picture.Picture] = []
    original = _picture.Picture.scaled

    def noted(self: _picture.Picture, *arguments: Any) -> Any:
        made.append(self)
        return original(self, *arguments)

    monkeypatch.setattr(_picture.Picture, "scaled", noted)
    crop = data.RandomResizedCrop(size, scale=(0.7, 1.0))
    # Both have the same position in their set, and so the same window.
    jpeg, png = (
        data.ImageFiles([tmp_path / name], transform=crop).image(0) for name in ("a.jpg", "b.png")
    )
    assert [picture.size for picture in made] == [((331, 243), (243, 331))[orientation > 4]] * 2
    window = crop.windows(*made[0].size[::-1], data.Draws(0, 0, [0]))[0]
    assert made[1]._reduction == 1
    reduction = made[0]._reduction
    assert reduction == scale <= min(window[2:]) / size
    np.testing.assert_allclose(jpeg, png, atol=4 / 255)  # JPEG's own loss


# Damage.


@pytest.fixture
def damaged(folder: Path) -> Path:
    (folder / "ant" / "2.jpg").write_bytes(b"no picture")
    whole = (folder / "bee" / "4.jpg").read_bytes()
    (folder / "bee" / "4.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_picture_is_named(damaged: Path, workers: int) -> None:
    files = data.ImageFolder(damaged, transform=CROP)
    with pytest.raises(ValueError, match=r"\[image_folder\] .*ant/2\.jpg: ") as caught:
        list(data.Batches(files, batch_size=3, shuffle=False, workers=workers))
    assert caught.value.__notes__ == ["[batches] while batch 0 of epoch 0 was prepared"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_picture_is_skipped_by_choice(damaged: Path, workers: int) -> None:
    files = data.ImageFolder(damaged, transform=CROP, on_error="skip")
    batches = data.Batches(files, batch_size=5, shuffle=False, workers=workers)
    with pytest.warns(UserWarning) as caught:
        first = list(batches)
    told = [str(w.message) for w in caught]
    assert len(told) == 2 and all(text.endswith("; it is skipped") for text in told)
    assert "ant/2.jpg" in told[0] and "bee/4.jpg" in told[1]
    assert caught[0].filename == __file__
    assert [y.tolist() for _, y in first] == [[0] * 4, [1] * 4]
    whole = data.ImageFolder(damaged, transform=CROP)
    np.testing.assert_array_equal(first[0][0][2], whole.image(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [len(x) for x, _ in batches] == [4, 4]  # told once


def test_a_batch_of_nothing_but_damage_is_refused(damaged: Path) -> None:
    files = data.ImageFolder(damaged, size=8, on_error="skip")
    with pytest.raises(ValueError, match="none of the 1 files of a batch can be read: .*2.jpg"):
        list(data.Batches(files, batch_size=1, shuffle=False))


def test_a_transform_that_fails_is_no_damage(folder: Path) -> None:
    files = data.ImageFolder(folder, transform=data.CenterCrop(99), on_error="skip")
    with pytest.raises(ValueError, match=r"\[center_crop\] size 99 x 99 of images of 40 x 50"):
        next(iter(data.Batches(files, batch_size=2, shuffle=False)))


# Lists of files, CelebA.


@pytest.mark.parametrize("label", [2**32 + 1, 2**31, -(2**31) - 1])
def test_labels_of_files_beyond_int32_are_refused(label: int) -> None:
    with pytest.raises(ValueError, match=rf"\[image_files\] labels .*{label}.* fit in int32"):
        data.ImageFiles(["a.png", "b.png"], [label, label])


@pytest.mark.parametrize("index", [-1, 10, 2**70])
def test_an_index_that_no_file_has_is_named(folder: Path, index: int) -> None:
    files = data.ImageFolder(folder, size=8)
    text = rf"\[image_folder.image\] index {index}: must be from 0 to 9"
    for random in (None, np.random.default_rng(0)):
        with pytest.raises(IndexError, match=text):
            files.image(index, random)
    assert files.image(np.uint8(9)).shape == (8, 8, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [3, b"x", None])
def test_what_is_no_path_is_named(path: Any) -> None:
    with pytest.raises(TypeError) as caught:
        data.ImageFiles(["a.png", path])
    assert str(caught.value) == f"[image_files] paths[1] = {path!r}: a path is required"


def test_classes_of_the_same_name_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError) as caught:
        data.ImageFolder(folder, classes=["ant", "ant"])
    assert str(caught.value) == "[image_folder] classes ['ant', 'ant']: must differ"


def test_files_take_integers_of_numpy(folder: Path) -> None:
    narrow: Any = np.uint8
    made = data.ImageFolder(folder, size=narrow(200), background=(narrow(1),) * 3)
    assert type(made.size) is type(made.background[0]) is int
    np.testing.assert_array_equal(made.image(0), data.ImageFolder(folder, size=200).image(0))
    small = data.ImageFolder(folder, size=8)
    pairs = small.batches(narrow(7), seed=narrow(3)), small.batches(7, seed=3)
    for found, expected in zip(*map(next, pairs), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_own_files_without_labels(folder: Path) -> None:
    paths = [folder / "ant" / "1.png", str(folder / "bee" / "3.png")]
    files = data.ImageFiles(paths, size=7)
    (found,) = data.Batches(files, batch_size=2, shuffle=False)
    assert found.shape == (2, 7, 7, 3)
    np.testing.assert_array_equal(found, files.images(np.arange(2)))


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """CelebA's layout with seven faces and three attributes."""
    root = tmp_path / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    parts = [0, 0, 0, 1, 1, 2, 0]
    names = [f"{number:06d}.jpg" for number in range(1, 8)]
    for number, name in enumerate(names):
        picture = Image.fromarray(smooth(218, 178, number / 3))
        picture.save(root / "img_align_celeba" / name, quality=95)
    rows = [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
    (root / "list_eval_partition.txt").write_text("\n".join(rows) + "\n")
    marks = [f"{name}  {-1 if i % 2 else 1} -1  1" for i, name in enumerate(names)]
    head = ["7", "Bald Hat Smiling "]
    (root / "list_attr_celeba.txt").write_text("\n".join(head + marks) + "\n")
    return tmp_path


def test_celeba_is_read_from_its_own_files(faces: Path) -> None:
    training = data.celeba("train", faces, size=16)
    assert [path.name for path in training.paths] == [f"00000{n}.jpg" for n in (1, 2, 3, 7)]
    assert training.classes == ["Bald", "Hat", "Smiling"]
    assert training.labels.tolist() == [[1, 0, 1], [0, 0, 1], [1, 0, 1], [1, 0, 1]]
    assert len(data.celeba("valid", faces / "celeba")) == 2
    assert len(data.celeba("test", faces)) == 1
    for x, y in data.Batches(training, batch_size=2, transform=data.RandomHorizontalFlip()):
        assert x.shape == (2, 16, 16, 3) and y.shape == (2, 3)
    picture = Image.open(training.paths[0]).crop((19, 39, 159, 179))
    expected = np.asarray(picture.resize((16, 16), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(training.image(0) * 255, expected, atol=1)


@pytest.mark.parametrize("name", ["list_eval_partition.txt", "list_attr_celeba.txt"])
def test_lists_of_celeba_are_utf8(faces: Path, name: str) -> None:
    path = faces / "celeba" / name
    expected = data.celeba("train", faces)
    path.write_text("\ufeff" + path.read_text(encoding="utf-8"), encoding="utf-8")
    found = data.celeba("train", faces)
    assert found.paths == expected.paths and (found.labels == expected.labels).all()
    path.write_bytes(path.read_bytes() + "ä".encode("latin-1"))
    with pytest.raises(ValueError, match=rf"\[celeba\] .*{name}: must be UTF-8: ") as caught:
        data.celeba("train", faces)
    assert not isinstance(caught.value, UnicodeError)


def test_celeba_says_what_is_missing(faces: Path) -> None:
    root = faces / "celeba"
    with pytest.raises(ValueError, match=r"\[celeba\] split 'val': must be 'train', 'valid' or"):
        data.celeba("val", faces)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\[celeba\] crop 179: must be from 1 to 178"):
        data.celeba("train", faces, crop=179)
    with pytest.raises(FileNotFoundError, match=r"list_eval_partition.txt is missing; set VQ"):
        data.celeba("train", faces / "nowhere")
    partition, attributes = root / "list_eval_partition.txt", root / "list_attr_celeba.txt"
    before = partition.read_text()
    partition.write_text(before + "000008.jpg 0\n")
    with pytest.raises(ValueError, match="no attributes of 000008.jpg"):
        data.celeba("train", faces)
    partition.write_text(before + "000008.jpg\n")
    with pytest.raises(ValueError, match="partition.txt, line 8: must be a name and 0, 1 or 2"):
        data.celeba("train", faces)
    partition.write_text("000001.jpg 0\n")
    with pytest.raises(ValueError, match="no image is of the split 'test'"):
        data.celeba("test", faces)
    attributes.write_text("1\nBald Hat\n000001.jpg 1\n")
    with pytest.raises(ValueError, match=r"celeba.txt, line 3: must be a name and 2 times 1 or -1"):
        data.celeba("train", faces)
    attributes.unlink()
    with pytest.raises(FileNotFoundError, match="the list of attributes is missing"):
        data.celeba("train", faces)
    (root / "img_align_celeba").rename(root / "other")
    with pytest.raises(FileNotFoundError, match="the folder of images is missing"):
        data.celeba("train", faces)
