"""Batches of any numbers, threads that prepare them, and their position."""

from __future__ import annotations

import gc
import json
import threading
from typing import Any

import numpy as np
import pytest
from conftest import run_python
from vqswift import data

RANDOM = data.Compose([data.RandomCrop(4, padding=2), data.RandomHorizontalFlip()])


def images(count: int = 20) -> np.ndarray:
    return np.random.default_rng(3).integers(256, size=(count, 6, 5, 3), dtype=np.uint8)


def batches(**options: Any) -> data.Batches:
    given: dict[str, Any] = {"batch_size": 3, "seed": 4, "transform": RANDOM}
    return data.Batches(images(), np.arange(20), **given | options)


def workers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("vqswift-batches")]


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# Numbers.


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
def test_integers_are_laid_over_the_range(dtype: Any, full: int) -> None:
    x = np.array([[0, full // 5, full]], dtype)

    def first(**options: Any) -> list[float]:
        return next(iter(data.Batches(x, batch_size=1, **options)))[0].tolist()

    assert first() == [0, np.float32(0.2), 1]
    assert first(value_range=None) == first()
    assert first(value_range=(-1, 1)) == pytest.approx([-1, -0.6, 1], abs=1e-7)


def test_black_and_white_are_the_ends_of_any_range(rng: np.random.Generator) -> None:
    x = np.array([[0, 1, 128, 254, 255]], np.uint8)
    huge = np.finfo(np.float32).max
    bounds = np.sort(rng.normal(size=(500, 2)) * 10.0 ** rng.integers(-9, 9, (500, 2)), axis=1)
    for low, high in [(0.1, 0.7), (1, 1 + 1e-12), (-3e38, 3e38), (-huge, huge), *bounds.tolist()]:
        (found,) = data.Batches(x, batch_size=1, value_range=(low, high))
        black, *between, white = found[0]
        assert (black, white) == (np.float32(low), np.float32(high))
        assert black <= min(between) <= max(between) <= white


@pytest.mark.parametrize("declared", [(0, 1e300), (-1e39, 0)])
def test_a_range_beyond_float32_is_refused(declared: Any) -> None:
    for x in (np.array([[1e200]]), np.array([[255]], np.uint8)):
        with pytest.raises(ValueError, match="value_range = .*finite in float32"):
            data.Batches(x, batch_size=1, value_range=declared)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.array])
def test_integers_of_numpy_become_those_of_python(kind: Any) -> None:
    given = {"seed": 4, "batch_size": 3, "workers": 1}
    plain = data.Batches(images(), transform=RANDOM, **given)
    made = data.Batches(images(), transform=RANDOM, **{n: kind(v) for n, v in given.items()})
    assert json.dumps(made.state_dict()) == json.dumps(plain.state_dict())
    assert type(made.batch_size) is type(made.workers) is int
    assert same(made, plain)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_keep_their_values_in_a_declared_range(dtype: Any) -> None:
    x = np.array([[-1, 0.25, 1]], dtype)
    for declared in ((-1, 1), (-1.0, 8.0), None):
        (found,) = data.Batches(x, batch_size=1, value_range=declared)
        assert found.dtype == np.float32 and found.tolist() == [[-1, 0.25, 1]]
    with pytest.raises(ValueError, match=r"images from -1 to 1: must lie in \[0, 1\], the value_r"):
        data.Batches(x, batch_size=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_without_a_range_numbers_must_be_finite(bad: float) -> None:
    x = np.array([[0.5, bad]])
    with pytest.raises(ValueError, match="must be finite in float32"):
        data.Batches(x, batch_size=1, value_range=None)


@pytest.mark.parametrize("shape", [(7,), (5, 2), (6, 5, 3), (2, 6, 5, 1)])
def test_samples_of_any_rank(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random((4, *shape), dtype=np.float32)
    (found,) = data.Batches(x, batch_size=4, shuffle=False)
    np.testing.assert_array_equal(found, x)
    if len(shape) < 4:
        (gray,) = data.Batches(x, batch_size=4, shuffle=False, add_channel=True)
        np.testing.assert_array_equal(gray, x[..., None])


def test_labels_may_have_columns() -> None:
    labels = np.arange(8).reshape(4, 2)
    for x, found in data.Batches(np.zeros((4, 2)), labels, batch_size=2):
        assert x.shape == found.shape == (2, 2)


def test_a_function_is_a_transform() -> None:
    (found,) = data.Batches(
        np.ones((2, 3)), batch_size=2, transform=lambda x: x.astype(np.float64) * 2
    )
    assert found.dtype == np.float32 and (found == 2).all()
    for wrong, error in ((lambda x: x[:1], ValueError), (lambda x: x.astype(str), TypeError)):
        with pytest.raises(error, match=r"\[transform\]"):
            next(iter(data.Batches(np.ones((2, 3)), batch_size=2, transform=wrong)))


# The same with any number of workers.


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("shuffle", [True, False])
def test_workers_change_no_result(count: int, shuffle: bool) -> None:
    alone = batches(shuffle=shuffle).forever()
    helped = batches(shuffle=shuffle, workers=count).forever()
    for _ in range(25):
        assert same(next(alone), next(helped))
    assert [x[1].tolist() for x in batches(workers=count)] == [x[1].tolist() for x in batches()]


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("taken", [0, 1, 5, 6, 7, 13])
def test_the_position_counts_what_was_handed_out(count: int, taken: int) -> None:
    original = batches(workers=count)
    stream = original.forever()
    for _ in range(taken):
        next(stream)
    resumed = batches(seed=9, workers=2 - count)
    resumed.load_state_dict(original.state_dict())
    following = resumed.forever()
    for _ in range(8):
        assert same(next(stream), next(following))


def test_going_back_takes_effect_at_once() -> None:
    original = batches(workers=2)
    stream = original.forever()
    start = original.state_dict()
    first = [next(stream) for _ in range(4)]
    original.load_state_dict(start)
    assert all(same(a, next(stream)) for a in first)
    original.load_state_dict({"seed": 5, "epoch": 3, "position": 2})
    other = batches(seed=5)
    other.load_state_dict(original.state_dict())
    assert same(next(stream), next(iter(other)))


# Threads.


def test_threads_end_with_the_iterator() -> None:
    before = workers()
    for _ in batches(workers=3):
        assert 0 < len(workers()) - len(before) <= 3
    assert workers() == before
    stream = batches(workers=3).forever()
    next(stream)
    assert len(workers()) > len(before)
    del stream
    gc.collect()
    assert workers() == before


@pytest.mark.parametrize("count", [0, 2])
def test_an_exception_tells_its_place(count: int) -> None:
    before = workers()

    def fail_on_seven(x: np.ndarray) -> np.ndarray:
        if (x == 7).any():
            raise KeyError("seven")
        return x

    x = np.arange(12.0)[:, None]
    source = data.Batches(
        x, batch_size=3, shuffle=False, value_range=None, transform=fail_on_seven, workers=count
    )
    stream = source.forever()
    for expected in (0, 3):
        assert next(stream)[0, 0] == expected
    with pytest.raises(KeyError, match="seven") as caught:
        next(stream)
    assert caught.value.__notes__ == ["[batches] while batch 2 of epoch 0 was prepared"]
    assert source.state_dict()["position"] == 2
    assert workers() == before
    source.transform = None
    assert next(iter(source))[0, 0] == 6


@pytest.mark.parametrize("count", [0, 2])
def test_a_transform_that_stops_is_an_error_with_its_place(count: int) -> None:
    def stop(x: np.ndarray) -> np.ndarray:
        raise StopIteration

    with pytest.raises(RuntimeError) as caught:
        next(iter(batches(transform=stop, workers=count)))
    assert str(caught.value) == "[batches] StopIteration: a transform must not raise it"
    assert caught.value.__notes__ == ["[batches] while batch 0 of epoch 0 was prepared"]


def test_a_batch_is_the_callers_own() -> None:
    x = np.zeros((2, 3), np.float32)
    for batch in data.Batches(x, batch_size=2):
        batch += 1
    assert not x.any()


FORKED = """
import os, warnings
import numpy as np
from vqswift import data

warnings.simplefilter("ignore")  # of forks beside threads
batches = data.Batches(np.arange(40.0)[:, None], batch_size=4, value_range=None, workers=2)
alone = data.Batches(np.arange(40.0)[:, None], batch_size=4, value_range=None)
stream, expected = batches.forever(), alone.forever()
for _ in range(3):
    assert (next(stream) == next(expected)).all()
child = os.fork()
for _ in range(20):
    assert (next(stream) == next(expected)).all()
stream.close()
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("both")
"""


def test_a_forked_process_has_threads_of_its_own() -> None:
    assert run_python(FORKED) == "both\n"


def test_what_is_broadcast_is_looked_at_once() -> None:
    huge = np.broadcast_to(np.float32(0.5), (2**30, 4, 1 << 20))
    assert len(data.Batches(huge, batch_size=2**29, shuffle=False)) == 2
    with pytest.raises(ValueError, match="must lie in"):
        data.Batches(np.broadcast_to(np.float32(2), (2**30, 4)))
