"""Drawing codes: against a plain loop, by hand, and by what must not change."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift.models import _generation, generate, halton_order

CODES, LENGTH, CLASSES = 6, 16, 3


class Fixed(vq.models.MaskGIT):
    """Logits that depend on place, class and how many codes are hidden; it notes what it is given.

    They are multiples of 1/64, so that sums of them are exact.
    """

    def __init__(self, length: int = LENGTH, codes: int = CODES) -> None:
        super().__init__(codes, length, classes=CLASSES, width=4, depth=1, heads=1, hidden=4)
        rng = np.random.default_rng(0)
        self.table = np.rint(64 * rng.normal(size=(CLASSES + 1, length + 1, length, codes))) / 64
        self.seen: list[np.ndarray] = []

    def logits(self, codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return self.table[labels, (codes < 0).sum(1)]

    def forward(self, codes: Any, labels: Any = None) -> vq.Tensor:
        self.seen.append(np.array(codes))
        assert not self.training
        return vq.Tensor(self.logits(codes, labels))


def plain(
    model: Fixed,
    codes: np.ndarray,
    labels: np.ndarray,
    uniform: np.ndarray,
    steps: int,
    *,
    temperature: float = 1.0,
    choice: float = 4.5,
    order: list[int] | None = None,
    guidance: Callable[[int], float] = lambda t: 0.0,
) -> np.ndarray:
    """The algorithm sample by sample and place by place; `uniform` [n, steps, 2, length]."""
    result = codes.copy()
    for row, places in enumerate(result):
        at_first = int((places < 0).sum())
        for t in range(1, steps + 1):
            hidden = [int(place) for place in np.flatnonzero(places < 0)]
            if not hidden:
                break
            given = model.logits(places[None], labels[row : row + 1])[0]
            without = model.logits(places[None], np.array([-1]))[0]
            logits = (given + guidance(t) * (given - without)) / temperature
            confidence = {}
            for place in hidden:
                weights = [math.exp(value) for value in logits[place]]
                target, total, code = uniform[row, t - 1, 0, place] * sum(weights), 0.0, 0
                for code, weight in enumerate(weights):  # noqa: B007
                    total += weight
                    if total > target:
                        break
                places[place] = code
                p = weights[code] / sum(weights)
                if order is None:
                    noise = -math.log(-math.log(uniform[row, t - 1, 1, place]))
                    confidence[place] = math.log(p) + choice * (1 - t / steps) * noise
                else:
                    confidence[place] = -float(order.index(place))
            wanted = math.floor(at_first * math.cos(math.pi / 2 * t / steps))
            left = 0 if t == steps else min(max(1, min(len(hidden) - 1, wanted)), len(hidden))
            for place in sorted(hidden, key=confidence.__getitem__)[:left]:
                places[place] = -1
    return result


def uniforms(seed: int, n: int, steps: int, length: int = LENGTH) -> np.ndarray:
    return vq.Generator(seed).uniform((n, steps, 2, length)).numpy().astype(np.float64)


GIVEN = np.array([[-1] * 16, [0, 1, 2, 3] * 4, [-1] * 15 + [5], [1] * 14 + [-1] * 2, [-1, 3] * 8])


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ({"steps": 6}, {}),
        ({"steps": 1}, {}),
        ({"steps": 30}, {}),
        ({"steps": 5, "temperature": 0.6, "choice_temperature": 1.0}, {}),
        ({"steps": 5, "choice_temperature": 0.0, "guidance": 1.5}, {}),
        ({"steps": 4, "guidance": 3.0, "guidance_schedule": "linear"}, {}),
        ({"steps": 5, "order": "halton"}, {"map": (4, 4)}),
        ({"steps": 5, "order": "halton", "map_shape": (2, 8)}, {"map": (2, 8)}),
    ],
)
def test_against_a_plain_loop(options: dict[str, Any], own: dict[str, Any]) -> None:
    model, labels = Fixed(), np.array([0, 1, 2, -1, 1])
    found = generate(model, codes=GIVEN, labels=labels, generator=vq.Generator(3), **options)
    steps, weight = options["steps"], options.get("guidance", 0.0)
    is_linear = options.get("guidance_schedule") == "linear"
    wanted = plain(
        model,
        GIVEN,
        labels,
        uniforms(3, 5, steps),
        steps,
        temperature=options.get("temperature", 1.0),
        choice=options.get("choice_temperature", 4.5),
        order=[*halton_order(*own["map"])] if own else None,
        guidance=lambda t: weight * (t / steps if is_linear else 1),
    )
    np.testing.assert_array_equal(found.numpy(), wanted)
    assert found.dtype == np.int32 and (wanted >= 0).all()
    np.testing.assert_array_equal(wanted[GIVEN >= 0], GIVEN[GIVEN >= 0])


@pytest.mark.parametrize(
    ("length", "steps", "hidden"),
    [
        (16, 8, [16, 15, 14, 13, 11, 8, 6, 3]),
        (4, 3, [4, 3, 2]),
        (2, 4, [2, 1, 1, 1]),
        (1, 2, [1, 1]),
        (64, 1, [64]),
    ],
)
@pytest.mark.parametrize("order", ["confidence", "halton"])
def test_hidden_places_of_each_step(length: int, steps: int, hidden: list[int], order: str) -> None:
    """floor(N cos(pi t / 2 T)) by hand, from all to none."""
    model = Fixed(length)
    generate(
        model, 2, steps=steps, order=order, map_shape=(1, length) if order != "confidence" else None
    )
    counts = [(codes < 0).sum(1).tolist() for codes in model.seen]
    assert counts == [[count, count] for count in hidden]


def test_a_step_keeps_what_earlier_ones_chose() -> None:
    model = Fixed()
    codes = generate(model, 3, steps=5).numpy()
    for before, after in zip(model.seen, [*model.seen[1:], codes], strict=True):
        np.testing.assert_array_equal(after[before >= 0], before[before >= 0])


def test_halton_fills_in_its_order() -> None:
    model, order = Fixed(), halton_order(4, 4)
    generate(model, 1, steps=8, order="halton")
    for codes in model.seen:
        hidden = int((codes < 0).sum())
        assert set(order[16 - hidden :]) == set(np.flatnonzero(codes[0] < 0))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_codes_have_the_models_probabilities(temperature: float) -> None:
    model, count = Fixed(2, 5), 20_000
    codes = generate(
        model, count, steps=1, temperature=temperature, batch_size=count, generator=vq.Generator(1)
    ).numpy()
    weights = np.exp(model.table[-1, 2] / temperature)
    p = weights / weights.sum(-1, keepdims=True)
    shares = np.stack([(codes == code).mean(0) for code in range(5)], -1)
    # Ten shares, each within 4.5 standard errors.
    assert (np.abs(shares - p) < 4.5 * np.sqrt(p * (1 - p) / count)).all()


def test_a_code_without_probability_is_never_drawn() -> None:
    model = Fixed()
    model.table[:, :, :, :2] = -np.inf
    codes = generate(model, 200, steps=2, batch_size=200).numpy()
    assert set(codes.ravel()) == {2, 3, 4, 5}
    # Not by the least number that may be drawn either.
    sampler = _generation._Sampler(model.eval(), 1.0, 4.5, None, np.zeros(1))
    least = sampler.filled(np.full((1, 16), -1), np.array([-1]), np.zeros((1, 1, 2, 16)))
    assert (least == 2).all()


def network() -> vq.models.MaskGIT:
    vq.manual_seed(1)
    model = vq.models.MaskGIT(32, 16, classes=3, width=32, depth=2, heads=4, hidden=64, dropout=0.3)
    for parameter in model.parameters():
        parameter.assign(10 * parameter.numpy())
    return model


def test_equal_generators_give_equal_codes(threads: Callable[[int], None]) -> None:
    model, found = network(), []
    for count in (1, 2):
        threads(count)
        found.append(
            generate(
                model, labels=[0, 1, 2] * 5, steps=6, guidance=1.0, generator=vq.Generator(5)
            ).numpy()
        )
    np.testing.assert_array_equal(*found)
    other = generate(model, labels=[0, 1, 2] * 5, steps=6, generator=vq.Generator(6)).numpy()
    assert not np.array_equal(found[0], other)


@pytest.mark.parametrize("batch_size", [1, 3, 5])
def test_batches_draw_what_all_would(batch_size: int) -> None:
    labels = np.array([0, 1, 2, 0, 1])
    first, second = vq.Generator(2), vq.Generator(2)
    whole = generate(Fixed(3), labels=labels, steps=3, generator=first)
    parts = generate(Fixed(3), labels=labels, steps=3, generator=second, batch_size=batch_size)
    np.testing.assert_array_equal(whole.numpy(), parts.numpy())
    assert first.counter == second.counter == 5 * 5  # 18 words a sample, in blocks of 4


def test_the_model_is_given_back_as_it_was() -> None:
    model = network()
    model.blocks[0].eval()
    modes = [module.training for module in model.modules()]
    state, draws = model.state_dict(), model.rng_state_dict()
    codes = generate(model, 2, steps=2)
    assert not codes.requires_grad
    assert [module.training for module in model.modules()] == modes and len(set(modes)) == 2
    for name, value in (state | draws).items():
        np.testing.assert_array_equal((model.state_dict() | model.rng_state_dict())[name], value)


def test_the_model_is_given_back_after_an_error() -> None:
    model = Fixed().train()
    model.table[:, 16] = np.nan
    with pytest.raises(ValueError, match=r"\[generate\] step 1: the model's logits hold NaN"):
        generate(model, 2)
    assert model.training


def test_nothing_to_fill() -> None:
    codes = np.arange(16)[None] % CODES
    np.testing.assert_array_equal(generate(Fixed(), codes=codes).numpy(), codes)
    assert generate(Fixed(), codes=np.zeros((0, 16), np.int32)).shape == (0, 16)


@pytest.mark.parametrize("shape", [(4, 9), (8, 8), (1, 7), (5, 3), (16, 16), (1, 1), (27, 32)])
def test_halton_order_is_scipys(shape: tuple[int, int]) -> None:
    from scipy.stats import qmc

    height, width = shape
    sequence = qmc.Halton(2, scramble=False)
    sequence.fast_forward(1)
    found: list[int] = []
    while len(found) < height * width:
        row, column = sequence.random(1)[0]
        # What lies on a border in exact numbers is not put below it by rounding.
        place = int(row * height + 1e-9) * width + int(column * width + 1e-9)
        if place not in found:
            found.append(place)
    order = halton_order(height, width)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(order, found)


def test_halton_order_by_hand() -> None:
    """Rows 1/2, 1/4, 3/4, 1/8, 5/8, ... and columns 1/3, 2/3, 1/9, 4/9, 7/9, ..."""
    np.testing.assert_array_equal(halton_order(2, 2), [2, 1, 0, 3])
    np.testing.assert_array_equal(halton_order(2, 3), [4, 2, 3, 1, 5, 0])


@pytest.mark.parametrize(
    ("options", "exception", "text"),
    [
        ({}, ValueError, "[generate] neither count nor labels nor codes: one must say how many"),
        ({"count": 0}, ValueError, "[generate] count = 0: must be at least 1"),
        ({"count": 2, "steps": 0}, ValueError, "[generate] steps = 0: must be at least 1"),
        ({"count": 2, "batch_size": 0}, ValueError, "[generate] batch_size = 0"),
        ({"count": 2, "temperature": 0.0}, ValueError, "temperature = 0.0: must be finite and ab"),
        ({"count": 2, "choice_temperature": -1.0}, ValueError, "choice_temperature = -1.0: must"),
        ({"count": 2, "guidance": math.nan}, ValueError, "guidance = nan: must be finite"),
        ({"count": 2, "guidance": 1.0}, ValueError, "guidance = 1.0 without labels: there is no"),
        ({"count": 2, "guidance_schedule": "cubic"}, ValueError, "guidance_schedule = 'cubic'"),
        ({"count": 2, "order": "raster"}, ValueError, "order = 'raster': must be 'confidence' or"),
        ({"count": 2, "map_shape": (4, 4)}, ValueError, "map_shape = (4, 4) without order="),
        (
            {"count": 2, "order": "halton", "map_shape": (4, 5)},
            ValueError,
            "[generate] map_shape = (4, 5): it must have length = 16 places",
        ),
        (
            {"count": 2, "order": "halton", "map_shape": (16,)},
            TypeError,
            "[generate] map_shape = (16,): height and width are required",
        ),
        ({"count": 2, "order": "halton", "map_shape": ("4", 4)}, TypeError, "map_shape = ('4', 4)"),
        ({"count": 3, "labels": [0, 1]}, ValueError, "count = 3: labels and codes are of 2 samp"),
        ({"labels": 1}, ValueError, "[generate] labels of shape []: [n] is required"),
        ({"labels": [0, 3]}, IndexError, "[generate] labels = 3: must lie in -1...2"),
        ({"codes": [[6] * 16]}, IndexError, "[generate] codes = 6: must lie in -1...5"),
        ({"codes": [[0] * 4]}, ValueError, "[generate] codes of shape [1, 4]: [n, 16] is"),
        ({"codes": [[0] * 16], "labels": [0, 1]}, ValueError, "labels of shape [2]: one for each"),
    ],
)
def test_what_does_not_fit(options: dict[str, Any], exception: type[Exception], text: str) -> None:
    with pytest.raises(exception) as caught:
        generate(Fixed(), **options)
    assert text in str(caught.value)


def test_a_map_without_places() -> None:
    with pytest.raises(ValueError, match=r"\[halton_order\] map 0 x 4: both must be at least 1"):
        halton_order(0, 4)
    model = Fixed(8)
    with pytest.raises(ValueError, match=r"map_shape = \(2, 2\): it must have length = 8"):
        generate(model, 1, order="halton")


def test_temperatures_beyond_float32_choose_the_likeliest_and_all_alike() -> None:
    model = network()
    cold = vq.models.generate(model, 3, temperature=1e-3, generator=vq.Generator(0)).numpy()
    for temperature in (1e-25, 1e-38, 1e-45):
        found = vq.models.generate(
            model, 3, temperature=temperature, generator=vq.Generator(0)
        ).numpy()
        assert np.array_equal(found, cold)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vq.models.generate(model, 3, temperature=1e39)
