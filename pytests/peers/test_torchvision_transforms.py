"""Crops, scaling and normalization against torchvision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional
from vqswift import data

SIZES = [
    *((32, 32, (32, 32)), (40, 30, (16, 20)), (9, 50, (31, 7))),
    *((256, 200, (64, 64)), (5, 5, (1, 1)), (3, 4, (224, 100))),
]


def planes(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy())


@pytest.mark.parametrize(("height", "width"), [(32, 32), (100, 37), (20, 200)])
@pytest.mark.parametrize(
    ("scale", "ratio"), [((0.08, 1.0), (3 / 4, 4 / 3)), ((0.5, 1.0), (2.5, 3.0))]
)
def test_windows_are_torchvisions_with_its_draws(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torchvision gets our random numbers in the order in which it draws."""
    count = 300
    ours = data.RandomResizedCrop(8, scale, ratio)
    found = ours.windows(height, width, data.Draws(1, 0, np.arange(count)))
    numbers = data.Draws(1, 0, np.arange(count)).uniform(40).reshape(count, 10, 4)
    given: list[float] = []

    def uniform(self: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return self.fill_(float(low) + (float(high) - float(low)) * given.pop(0))

    def randint(low: int, high: int, size: tuple[int, ...]) -> torch.Tensor:
        return torch.tensor([low + int((high - low) * place.pop(0))])

    monkeypatch.setattr(torch.Tensor, "uniform_", uniform)
    monkeypatch.setattr(torch, "randint", randint)
    image = torch.zeros(3, height, width)
    for row in range(count):
        given[:] = numbers[row, :, :2].ravel()
        fitting = _first_fitting(numbers[row], height, width, scale, ratio)
        place = numbers[row, fitting, 2:].tolist()
        window = transforms.RandomResizedCrop.get_params(image, [*scale], [*ratio])
        assert found[row].tolist() == [*window]


def _first_fitting(
    numbers: np.ndarray,
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> int:
    """Which trial torchvision takes, so that the place comes from the same one."""
    for trial, (a, r, _, _) in enumerate(numbers):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * a)
        aspect = np.exp(np.log(ratio[0]) + np.log(ratio[1] / ratio[0]) * r)
        wide, tall = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            return trial
    return 0


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_scaled_crops_are_torchvisions(
    height: int, width: int, size: tuple[int, int], rng: np.random.Generator
) -> None:
    x = rng.random((6, height, width, 3), dtype=np.float32)
    crop = data.RandomResizedCrop(size)
    windows = crop.windows(height, width, data.Draws(1, 2, np.arange(6)))
    found = crop(x, data.Draws(1, 2, np.arange(6)))
    for image, window, ours in zip(x, windows.tolist(), found, strict=True):
        theirs = functional.resized_crop(planes(image), *window, list(size), antialias=True)
        # Sums of as many products as a pixel of the result has pixels.
        np.testing.assert_allclose(ours, theirs.numpy().transpose(1, 2, 0), atol=3e-6)


@pytest.mark.parametrize(("height", "width"), [(40, 30), (30, 41), (17, 17)])
@pytest.mark.parametrize("size", [16, 50, (12, 9)])
def test_resize_and_center_crop_are_torchvisions(
    height: int, width: int, size: int | tuple[int, int], rng: np.random.Generator
) -> None:
    x = rng.random((2, height, width, 3), dtype=np.float32)
    theirs = transforms.Resize(size, antialias=True)(torch.stack([*map(planes, x)]))
    ours = data.Resize(size)(x)
    np.testing.assert_allclose(ours, theirs.numpy().transpose(0, 2, 3, 1), atol=3e-6)
    middle = transforms.CenterCrop((7, 8))(theirs).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(data.CenterCrop((7, 8))(ours), middle, atol=3e-6)


def test_normalize_is_torchvisions(rng: np.random.Generator) -> None:
    x = rng.random((4, 5, 6, 3), dtype=np.float32)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    theirs = transforms.Normalize(mean, std)(torch.stack([*map(planes, x)]))
    ours = data.Normalize(mean, std)(x)
    np.testing.assert_allclose(ours, theirs.numpy().transpose(0, 2, 3, 1), rtol=1e-6, atol=1e-6)


def test_pictures_are_cropped_as_torchvision_crops_them(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Of a PNG, which is read at its resolution: Pillow's arithmetic on both sides."""
    (tmp_path / "a").mkdir()
    picture = Image.fromarray(rng.integers(256, size=(50, 70, 3), dtype=np.uint8))
    picture.save(tmp_path / "a" / "0.png")
    crop = data.RandomResizedCrop((24, 20))
    ours = data.ImageFolder(tmp_path, transform=crop).image(0)
    window = crop.windows(50, 70, data.Draws(0, 0, [0]))[0].tolist()
    theirs = functional.resized_crop(picture, *window, [24, 20])
    np.testing.assert_allclose(ours * 255, np.asarray(theirs), atol=1)
