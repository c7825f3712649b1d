"""Transforms of images, and the random numbers of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from vqswift import data
from vqswift.data._resample import resampled


def draws(count: int, seed: int = 0, epoch: int = 0) -> data.Draws:
    return data.Draws(seed, epoch, np.arange(count))


# Random numbers.


def test_draws_are_uniform() -> None:
    found = draws(2000).uniform(10)
    assert found.shape == (2000, 10) and found.min() >= 0 and found.max() < 1
    counts = np.histogram(found, bins=20, range=(0, 1))[0]
    chi = ((counts - 1000) ** 2 / 1000).sum()
    assert chi < 43.8  # the quantile 0.999 for 19 degrees of freedom
    # The error of a correlation of 2000 pairs is 0.022.
    assert np.abs(np.corrcoef(found.T) - np.eye(10)).max() < 5 * 0.0224
    for axis in (found[1:] - found[:-1], found[:, 1:] - found[:, :-1]):
        assert axis.std() == pytest.approx(np.sqrt(1 / 6), rel=0.02)


def test_draws_of_a_sample_are_its_own() -> None:
    together = data.Draws(3, 2, [5, 9, 0])
    alone = data.Draws(3, 2, [9])
    assert together.uniform()[1] == alone.uniform()[0]
    np.testing.assert_array_equal(together.uniform(4)[1], alone.uniform(4)[0])
    others = [data.Draws(*key, [9], stream) for key, stream in (((4, 2), 0), ((3, 1), 0))]
    others += [data.Draws(3, 2, [8]), data.Draws(3, 2, [9], 1), data.Draws(2, 3, [9])]
    values = [d.uniform()[0] for d in [data.Draws(3, 2, [9]), *others]]
    assert len(set(values)) == len(values)


def test_draws_are_those_of_splitmix64() -> None:
    """In integers of Python's."""
    stride, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def mixed(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    state = 0
    for word in (7, 0, 2, 11):  # seed, stream, epoch, index
        state = mixed((state + (word + 1) * stride) & mask)
    expected = [(mixed((state + k * stride) & mask) >> 11) / 2**53 for k in (1, 2, 3)]
    assert data.Draws(7, 2, [11]).uniform(3)[0].tolist() == expected


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.array])
def test_draws_take_integers_of_numpy(kind: Any) -> None:
    plain = data.Draws(3, 2, [9], 1)
    made = data.Draws(kind(3), kind(2), [9], kind(1))
    for count in (2, 3):
        np.testing.assert_array_equal(made.uniform(kind(count)), plain.uniform(count))
    crop = data.RandomResizedCrop(kind(4))
    assert crop.size == (4, 4)
    windows = crop.windows(kind(60), kind(200), draws(5)), crop.windows(60, 200, draws(5))
    np.testing.assert_array_equal(*windows)


def test_integers_stay_below_their_bounds() -> None:
    bounds = np.array([1, 2, 5] * 400)
    found = draws(1200).integers(bounds)
    assert (found >= 0).all() and (found < bounds).all()
    assert np.bincount(found[bounds == 5], minlength=5).min() > 50  # of 80 each
    assert (draws(5).integers(1) == 0).all()


# Crops, flips, numbers.


def test_a_random_crop_is_a_window_of_the_padded_image(rng: np.random.Generator) -> None:
    x = rng.random((50, 5, 6, 2), dtype=np.float32) + 1
    found = data.RandomCrop((4, 3), padding=(1, 2))(x, draws(50))
    padded = np.pad(x, ((0, 0), (1, 1), (2, 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 3), axis=(1, 2))
    places = set()
    for image, view in zip(found, windows, strict=True):
        equal = (view == image.transpose(2, 0, 1)).all(axis=(2, 3, 4))
        places |= set(zip(*np.nonzero(equal), strict=True))
    assert len(places) > 20  # of 4 x 8
    np.testing.assert_array_equal(data.RandomCrop((5, 6))(x, draws(50)), x)


def test_a_flip_mirrors_about_its_share(rng: np.random.Generator) -> None:
    x = rng.random((1000, 2, 3, 1), dtype=np.float32)
    found = data.RandomHorizontalFlip(0.3)(x, draws(1000))
    mirrored = (found == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (found == x).all(axis=(1, 2, 3))).all()
    assert abs(mirrored.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1000)
    np.testing.assert_array_equal(data.RandomHorizontalFlip(0)(x, draws(1000)), x)
    np.testing.assert_array_equal(data.RandomHorizontalFlip(1)(x, draws(1000)), x[:, :, ::-1])


def test_frames_of_a_video_are_transformed_alike(rng: np.random.Generator) -> None:
    still = np.repeat(rng.random((8, 1, 6, 7, 3), dtype=np.float32), 4, axis=1)
    for transform in (
        data.RandomCrop(4, padding=1),
        data.RandomHorizontalFlip(),
        data.RandomResizedCrop((5, 3)),
        data.Resize(9),
        data.CenterCrop((2, 3)),
        data.Normalize([1, 2, 3], 0.5),
    ):
        video = transform(still, draws(8))
        image = transform(still[:, 0], draws(8))
        assert video.shape[:2] == (8, 4)
        for frame in range(4):
            np.testing.assert_allclose(video[:, frame], image, atol=1e-6)


def test_the_middle_is_a_center_crop() -> None:
    x = np.arange(7 * 8, dtype=np.float32).reshape(1, 7, 8, 1)
    np.testing.assert_array_equal(data.CenterCrop((3, 2))(x), x[:, 2:5, 3:5])
    np.testing.assert_array_equal(data.CenterCrop((7, 8))(x), x)


def test_normalize_is_of_each_channel(rng: np.random.Generator) -> None:
    x = rng.random((3, 4, 5, 3), dtype=np.float32)
    mean, std = [0.1, 0.2, 0.3], [1.0, 2.0, 4.0]
    found = data.Normalize(mean, std)(x)
    np.testing.assert_allclose(found, (x - np.float32(mean)) / np.float32(std), rtol=1e-6)
    np.testing.assert_allclose(data.Normalize(0.5, 0.25)(x), (x - 0.5) / 0.25, atol=1e-6)
    assert data.Normalize(mean, 1.0)(x[:, 0, 0]).shape == (3, 3)
    assert data.Normalize(mean, 1.0)(x[:, :, :0]).shape == (3, 4, 0, 3)


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (1e300, 1.0, r"mean = 1e\+300: must be finite in float32"),
        ([0.0, -1e39], 1.0, r"mean = \[0\.0, -1e\+39\]: must be finite in float32"),
        (0.0, 1e300, r"std = 1e\+300: must be finite in float32"),
        (0.0, 1e-60, "std = 1e-60: must be positive, at least 1.2e-38"),
        (0.0, [1.0, 1e-39], r"std = \[1\.0, 1e-39\]: must be positive, at least 1.2e-38"),
    ],
)
def test_normalize_takes_numbers_of_float32(mean: Any, std: Any, text: str) -> None:
    with pytest.raises(ValueError, match=rf"\[normalize\] {text}"):
        data.Normalize(mean, std)
    least = float(np.finfo(np.float32).tiny)
    assert np.isfinite(data.Normalize(0.0, least)(np.ones((1, 2), np.float32))).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_normalize_takes_floats_alone(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"\[normalize\] images of .*: must be floats"):
        data.Normalize(0.5, 0.5)(np.ones((1, 2, 2, 3), dtype))
    half = data.Normalize(0.5, 0.5)(np.ones((1, 2), np.float16))
    assert half.dtype == np.float32 and (half == 1).all()


def test_scaling_of_a_ramp_by_hand() -> None:
    x = np.array([0, 1, 2, 3], np.float32).reshape(1, 1, 4, 1)
    whole = np.array([[0, 0, 1, 4]])
    assert resampled(x, whole, (1, 8))[0, 0, :, 0].tolist() == [
        *(0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3)
    ]
    # The triangle reaches 2 pixels: weights 1/4, 3/4, 3/4, 1/4 around a center between pixels.
    narrow = resampled(x, whole, (1, 2))[0, 0, :, 0]
    left = (0 * 0.75 + 1 * 0.75 + 2 * 0.25) / 1.75
    assert narrow.tolist() == pytest.approx([left, 3 - left])
    window = resampled(x, np.array([[0, 1, 1, 2]]), (1, 2))[0, 0, :, 0]
    assert window.tolist() == [1, 2]


def test_parts_of_a_large_batch_fit_together(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = rng.random((7, 8, 9, 3), dtype=np.float32)
    crop = data.RandomResizedCrop((6, 5))
    whole = crop(x, draws(7))
    monkeypatch.setattr("vqswift.data._resample._WEIGHTS", 100)
    np.testing.assert_allclose(crop(x, draws(7)), whole, atol=1e-6)
    np.testing.assert_allclose(data.Resize(4)(x)[:1], data.Resize(4)(x[:1]), atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 1, 1, 3), (3, 1, 9, 1), (3, 2, 1, 0), (0, 4, 4, 3)])
def test_small_and_empty_images(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 0.5, np.float32)
    for transform in (data.RandomResizedCrop((4, 2)), data.Resize((4, 2))):
        found = transform(x, draws(shape[0]))
        assert found.shape == (shape[0], 4, 2, shape[3])
        np.testing.assert_allclose(found, 0.5, atol=1e-6)
    assert data.RandomHorizontalFlip()(x, draws(shape[0])).shape == shape


def test_windows_lie_in_the_image_and_have_the_areas() -> None:
    crop = data.RandomResizedCrop(4, scale=(0.2, 0.9), ratio=(0.5, 2.0))
    top, left, tall, wide = crop.windows(60, 80, draws(4000)).T
    assert top.min() >= 0 and left.min() >= 0
    assert (top + tall).max() <= 60 and (left + wide).max() <= 80
    area, ratio = tall * wide / 4800, wide / tall
    assert 0.18 < area.min() < 0.25 and 0.7 < area.max() < 0.93
    assert 0.48 < ratio.min() < 0.6 and 1.7 < ratio.max() < 2.05


def test_a_window_that_never_fits_is_the_largest_in_the_middle() -> None:
    crop = data.RandomResizedCrop(4, scale=(1, 1), ratio=(1, 1))
    assert crop.windows(10, 30, draws(3)).tolist() == [[0, 10, 10, 10]] * 3
    assert crop.windows(30, 10, draws(1)).tolist() == [[10, 0, 10, 10]]
    assert crop.windows(100, 1, draws(1)).tolist() == [[49, 0, 1, 1]]


def test_compose_draws_anew_for_each() -> None:
    x = np.random.default_rng(0).random((400, 4, 4, 1), dtype=np.float32)
    flips = data.Compose([data.RandomHorizontalFlip(), data.RandomHorizontalFlip()])
    twice = (flips(x, draws(400)) == x).all(axis=(1, 2, 3)).mean()
    assert 0.4 < twice < 0.6
    doubled = data.Compose([lambda v: v * 2, data.Normalize(1.0, 1.0)])
    np.testing.assert_array_equal(doubled(x), x * 2 - 1)
    np.testing.assert_array_equal(data.Compose([])(x), x)


def test_own_transforms_draw_by_the_sample() -> None:
    class Noise(data.Transform):
        def __call__(self, images: Any, draws: data.Draws | None = None) -> Any:
            assert draws is not None
            return images + draws.uniform()[:, None].astype(np.float32)

    x = np.arange(12.0)[:, None]
    options: dict[str, Any] = {"value_range": None, "transform": Noise(), "seed": 2}

    def noise(batch_size: int) -> dict[int, float]:
        found = np.concatenate(list(data.Batches(x, batch_size=batch_size, **options)))
        return {int(value): float(value) for value in found.ravel()}

    assert noise(4) == noise(6)
    assert len({round(value % 1, 4) for value in noise(4).values()}) == 12
