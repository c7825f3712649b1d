"""Any iterable as batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import data, train


def batch(number: int) -> np.ndarray:
    return np.full((2, 4), number / 100, np.float64)


def first(found: np.ndarray) -> int:
    return round(float(found.ravel()[0]) * 100)


def numbers(stream: Iterator[Any], count: int) -> list[int]:
    return [first(next(stream)) for _ in range(count)]


def endless() -> Iterator[np.ndarray]:
    yield from map(batch, range(100))


def three(epoch: int) -> Iterator[np.ndarray]:
    yield from (batch(10 * epoch + number) for number in range(3))


def test_epochs_of_a_list_follow_each_other() -> None:
    stream = data.Stream([batch(n) for n in range(3)])
    assert len(stream) == 3
    assert [first(x) for x in stream] == [0, 1, 2]
    assert stream.state_dict() == {"epoch": 1, "position": 0}
    assert numbers(stream.forever(), 5) == [0, 1, 2, 0, 1]
    assert stream.state_dict() == {"epoch": 2, "position": 2}
    assert [first(x) for x in stream] == [2]  # the rest


def test_a_function_gets_the_epoch() -> None:
    assert numbers(data.Stream(three).forever(), 7) == [0, 1, 2, 10, 11, 12, 20]
    assert numbers(data.Stream(endless).forever(), 3) == [0, 1, 2]
    defaults = data.Stream(lambda start=5: [batch(start)])
    assert numbers(defaults.forever(), 2) == [5, 5]


def with_default(count: int = 1, epoch: int = 7) -> list[np.ndarray]:
    return [batch(epoch)] * count


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (with_default, [0, 1, 2]),
        (partial(with_default, count=1), [0, 1, 2]),
        (partial(with_default, epoch=3), [3, 3, 3]),
        (lambda *numbers: [batch(*numbers)], [0, 1, 2]),
        (lambda number, count=1: [batch(number)] * count, [0, 1, 2]),
        (lambda number=4, /: [batch(number)], [4, 4, 4]),
    ],
)
def test_which_parameter_gets_the_epoch(made: Any, expected: list[int]) -> None:
    assert numbers(data.Stream(made).forever(), 3) == expected


@pytest.mark.parametrize("taken", [0, 1, 2, 3, 4, 30])
@pytest.mark.parametrize("made", [lambda: three, lambda: [batch(n) for n in range(3)]])
def test_what_begins_anew_resumes_by_counting(made: Any, taken: int) -> None:
    original = data.Stream(made())
    stream = original.forever()
    numbers(stream, taken)
    resumed = data.Stream(made())
    resumed.load_state_dict(original.state_dict())
    assert numbers(resumed.forever(), 7) == numbers(stream, 7)


def test_an_iterator_cannot_be_resumed() -> None:
    original = data.Stream(endless())
    numbers(original.forever(), 3)
    with pytest.raises(ValueError) as caught:
        data.Stream(endless()).load_state_dict(original.state_dict())
    assert str(caught.value) == (
        "[stream] an iterator such as a generator cannot be resumed: it stands at batch 0 of "
        "epoch 0 and the state at 3 of 0; give a list, or the function that makes it"
    )
    original.load_state_dict(original.state_dict())
    assert numbers(original.forever(), 2) == [3, 4]


def test_an_iterator_that_ends_says_so() -> None:
    stream = data.Stream(iter([batch(0), batch(1)]))
    taken = stream.forever()
    assert numbers(taken, 2) == [0, 1]
    with pytest.raises(
        ValueError, match=r"the iterator has ended at batch 2 of epoch 0 and cannot"
    ):
        next(taken)
    assert [first(x) for x in data.Stream(iter([batch(4)]))] == [4]
    for empty in ([], lambda: iter(())):
        with pytest.raises(ValueError, match="epoch 0: the iterable has no batches"):
            next(data.Stream(empty).forever())


@pytest.mark.parametrize("made", [lambda: three, lambda: three(0), lambda: [batch(0), batch(1)]])
def test_batches_since_the_last_position_are_given_again(made: Any) -> None:
    """Also those of a generator, and across the end of an epoch: a step that failed."""
    stream = data.Stream(made())
    numbers(stream.forever(), 1)
    before = stream.state_dict()
    count = 1 if stream._is_iterator else 4
    given = numbers(stream.forever(), count)
    stream.load_state_dict(before)
    assert stream.state_dict() == before
    stream.load_state_dict(before)
    assert numbers(stream.forever(), count) == given
    assert stream.state_dict() != before


def test_no_more_than_a_few_batches_are_kept() -> None:
    stream = data.Stream(endless())
    before = stream.state_dict()
    numbers(stream.forever(), 17)
    with pytest.raises(ValueError, match="cannot be resumed"):
        stream.load_state_dict(before)


def test_numbers_become_those_of_the_package() -> None:
    whole = np.full((2, 3), 51, np.uint8)
    stream = data.Stream([(whole, np.arange(2)), [np.ones(3, np.float16), [4, 5]], whole])
    pair, other, alone = stream
    assert isinstance(pair, tuple) and isinstance(other, tuple)
    assert pair[0].dtype == other[0].dtype == alone.dtype == np.float32
    assert alone[0, 0] == np.float32(0.2)
    assert pair[1].dtype == other[1].dtype == np.int32


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, bool])
@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 3, 3)])
def test_labels_stay_integers(dtype: Any, shape: tuple[int, ...]) -> None:
    labels = np.ones(shape, dtype)
    _, found = next(iter(data.Stream([(batch(0), labels)])))
    assert found.dtype == np.int32 and found.shape == shape and (found == 1).all()


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("channels_first", [False, True])
def test_further_images_are_images(dtype: Any, full: int, channels_first: bool) -> None:
    x = np.full((2, 3, 4, 5), full, dtype)
    pair = next(iter(data.Stream([(x, x)], channels_first=channels_first)))
    for found in pair:
        assert found.dtype == np.float32 and (found == 1).all()
        assert found.shape == ((2, 4, 5, 3) if channels_first else x.shape)


@pytest.mark.parametrize(
    ("item", "error", "text"),
    [
        ("text", TypeError, "a batch = 'text': an array of real numbers is required"),
        ((), TypeError, r"a batch = \(\): an array, or a tuple of arrays is required"),
        (np.array([2**40]), ValueError, "1099511627776: they do not fit in int32"),
        ((batch(0), [2**31]), ValueError, "integers 2147483648...2147483648: they do not fit"),
        (np.array([0, 1e300]), ValueError, r"floats 0\.\.\.1e\+300: they do not fit in float32"),
        (np.ma.masked_array([1.0, 2.0], [0, 1]), ValueError, "a batch has masked elements"),
        ((batch(0), np.ma.masked_array([1, 2], [0, 1])), ValueError, "has masked elements"),
    ],
)
def test_other_batches_are_refused(item: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=rf"\[stream\] .*{text}") as caught:
        next(data.Stream([item]).forever())
    assert caught.value.__notes__ == ["[stream] at batch 0 of epoch 0"]


def test_the_length_is_given_or_that_of_the_iterable() -> None:
    assert len(data.Stream(endless, length=7)) == 7
    with pytest.raises(TypeError, match=r"the iterable has no len: length= must say how many"):
        len(data.Stream(endless))
    stream = data.Stream(endless, length=np.int64(7))  # type: ignore[arg-type]
    assert type(stream.length) is int


def test_a_function_that_stops_is_an_error_with_its_place() -> None:
    def stop() -> list[np.ndarray]:
        return [next(iter(()))]

    with pytest.raises(RuntimeError) as caught:
        next(data.Stream(stop).forever())
    assert str(caught.value) == "[stream] StopIteration: what makes batches must not raise it"
    assert caught.value.__notes__ == ["[stream] at batch 0 of epoch 0"]


def trainer(stream: data.Stream) -> train.Trainer:
    vq.manual_seed(1)
    model = vq.nn.Linear(4, 4, generator=vq.Generator(1))

    def objective(model: Any, x: Any) -> train.Objective:
        given = vq.Tensor(x)
        found, info = vq.VectorQuant(4, 2, seed=0)(given)
        loss = (model(given) - given).square().mean()
        return train.Objective(loss, loss, info)

    optimizer = vq.optim.SGD(model.parameters(), lr=0.1)
    return train.Trainer(model, optimizer, stream, objective=objective)


def test_a_trainer_goes_on_where_it_stood(tmp_path: Path) -> None:
    whole = trainer(data.Stream(three))
    expected = [metrics.loss for metrics in whole.fit(7, progress=False)]
    begun = trainer(data.Stream(three))
    found = [metrics.loss for metrics in begun.fit(4, progress=False)]
    train.save_trainer(begun, tmp_path / "a.safetensors")
    resumed = trainer(data.Stream(three))
    train.load_trainer(resumed, tmp_path / "a.safetensors")
    found += [metrics.loss for metrics in resumed.fit(3, progress=False)]
    assert found == expected
    generator = trainer(data.Stream(three(0)))
    with pytest.raises(ValueError, match="an iterator such as a generator cannot be resumed"):
        train.load_trainer(generator, tmp_path / "a.safetensors")


def test_a_run_takes_a_stream(tmp_path: Path) -> None:
    run = train.Run(tmp_path, trainer(data.Stream(three, length=3)))
    assert run.epoch == 3
    run.fit(2, progress=False)
    again = train.Run(tmp_path, trainer(data.Stream(three, length=3)))
    assert again.step == 2
    again.fit(5, progress=False)
    assert again.trainer.batches.state_dict() == {"epoch": 1, "position": 2}
