"""RMSprop, Adagrad, Lion, Adafactor and Muon against Float64; what they keep and refuse."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from optimizer_formulas import FORMULAS
from optimizer_steps import OWN_SETTINGS, SETTINGS, gradients, run
from vqswift import Tensor, data, estimators, nn, optim, train

EPSILON = 2.0**-23
CASES = [case for case in SETTINGS + OWN_SETTINGS if case[0] in FORMULAS]
SHAPES = [(), (5,), (4, 5), (7, 3), (1, 6), (6, 1), (2, 3, 4), (2, 1, 3, 19)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_twenty_steps_equal_the_formula(
    name: str, settings: dict[str, Any], shape: tuple[int, ...]
) -> None:
    if name == "Muon" and len(shape) != 2:
        pytest.skip("it takes matrices")
    start, *rest = gradients(21, shape)
    parameter = Tensor(start, requires_grad=True)
    ours = run(getattr(optim, name)([parameter], **settings), parameter, rest)
    expected = FORMULAS[name](np.float64(start), [np.float64(g) for g in rest], **settings)
    # Each step rounds some ten times numbers below 4. Newton-Schulz's polynomials multiply what a
    # product rounds by up to some fifty, and the rate of 0.02 takes that back.
    np.testing.assert_allclose(ours, expected, atol=20 * 10 * EPSILON * 4)


@pytest.mark.parametrize("name", FORMULAS)
def test_results_do_not_depend_on_the_number_of_threads(name: str) -> None:
    start, *rest = gradients(4, (300, 170))

    def steps(threads: int) -> np.ndarray:
        before = vq.get_threads()
        vq.set_threads(threads)
        try:
            parameter = Tensor(start, requires_grad=True)
            return run(getattr(optim, name)([parameter], lr=0.1), parameter, rest)
        finally:
            vq.set_threads(before)

    np.testing.assert_array_equal(steps(1), steps(3))


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)], ids=str)
def test_parameters_without_elements_are_stepped(name: str, shape: tuple[int, ...]) -> None:
    parameter = Tensor(np.zeros(shape), requires_grad=True)
    optimizer = getattr(optim, name)([parameter], lr=0.1)
    assert run(optimizer, parameter, [np.zeros(shape, np.float32)] * 2).shape == shape
    state = optimizer.state_dict()
    optimizer.load_state_dict(state)
    assert state["0.step"] == 2


@pytest.mark.parametrize("name", FORMULAS)
def test_zero_and_huge_gradients_leave_numbers(name: str) -> None:
    parameter = Tensor(np.ones((3, 4)), requires_grad=True)
    optimizer = getattr(optim, name)([parameter], lr=0.1)
    for value in (0.0, 1e-30, 3e38, -3e38, 0.0, 1.0):
        parameter.grad = Tensor(np.full((3, 4), value))
        optimizer.step()
        assert np.isfinite(parameter.numpy()).all(), value
    optimizer.load_state_dict(optimizer.state_dict())


def test_factors_are_kept_of_rows_and_columns() -> None:
    matrices, vector = (Tensor(np.ones(shape), requires_grad=True) for shape in [(2, 3, 4), (5,)])
    optimizer = optim.Adafactor([matrices, vector])
    for parameter in (matrices, vector):
        parameter.grad = Tensor(np.full(parameter.shape, 2.0))
    optimizer.step()
    state = optimizer.state_dict()
    shapes = {name: value.shape for name, value in state.items() if name[0] in "01"}
    assert shapes == {
        "0.step": (),
        "0.row_var": (2, 3, 1),
        "0.col_var": (2, 1, 4),
        "1.step": (),
        "1.variance": (5,),
    }
    assert (state["0.row_var"] == 4).all() and (state["0.col_var"] == 4).all()
    for name, wrong in (("0.row_var", np.ones((2, 3, 4))), ("0.col_var", -np.ones((2, 1, 4)))):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            optimizer.load_state_dict({**state, name: wrong})


def test_muon_takes_matrices_alone() -> None:
    layer = nn.Linear(3, 4)
    with pytest.raises(
        ValueError,
        match=r"^\[muon\] parameters\[1\] = a tensor of shape \[4\]: it must have two axes; "
        r"others are for another optimizer$",
    ):
        optim.Muon(layer.parameters())
    optimizer = optim.Muon([layer.weight])
    with pytest.raises(ValueError, match=r"shape \[4\]"):
        optimizer.add_param_group({"params": [layer.bias]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6), (1, 4), (4, 1)], ids=str)
def test_muons_step_is_nearly_orthogonal(shape: tuple[int, int]) -> None:
    parameter = Tensor(np.zeros(shape), requires_grad=True)
    optimizer = optim.Muon([parameter], lr=1.0, adjust_lr_fn="spectral_unclamped")
    run(optimizer, parameter, gradients(1, shape))
    sizes = np.linalg.svd(parameter.numpy(), compute_uv=False) / (shape[0] / shape[1]) ** 0.5
    # What five iterations of these coefficients make of singular values above 0.1 of the norm.
    assert sizes.max() < 1.3 and sizes[0] > 0.6


@pytest.mark.parametrize("name", FORMULAS)
def test_each_group_has_its_own_rate_and_decay(name: str) -> None:
    start, *rest = gradients(6)

    def alone(**settings: Any) -> np.ndarray:
        parameter = Tensor(start, requires_grad=True)
        return run(getattr(optim, name)([parameter], **settings), parameter, rest)

    pair = [Tensor(start, requires_grad=True) for _ in range(2)]
    groups = [{"params": pair[:1]}, {"params": pair[1:], "lr": 0.25, "weight_decay": 0.5}]
    optimizer = getattr(optim, name)(groups, lr=0.125, weight_decay=0.0)
    for gradient in rest:
        for parameter in pair:
            parameter.grad = Tensor(gradient)
        optimizer.step()
    np.testing.assert_array_equal(pair[0].numpy(), alone(lr=0.125, weight_decay=0.0))
    np.testing.assert_array_equal(pair[1].numpy(), alone(lr=0.25, weight_decay=0.5))
    optimizer.scale_lr(0.5)
    assert optimizer.lrs == [0.0625, 0.125] and optimizer.base_lrs == (0.125, 0.25)


@pytest.mark.parametrize("name", ["RMSprop", "Adagrad", "Lion", "Adafactor", "Muon"])
def test_rows_that_are_given_anew_forget_their_moments(name: str) -> None:
    settings = {"initial_accumulator_value": 0.5} if name == "Adagrad" else {}
    quantizer = vq.VectorQuant(3, 4)
    optimizer = getattr(optim, name)([quantizer.codebook], lr=0.1, **settings)
    run(optimizer, quantizer.codebook, gradients(2, (4, 3)))
    before = optimizer.state_dict()
    codes = np.array(quantizer.codebook.numpy())
    codes[1] = 7
    quantizer.codebook.assign(codes)
    after = optimizer.state_dict()
    for moment in before.keys() - {"learning_rates", "weight_decays", "0.step"}:
        kept = [0, 2, 3]
        if moment == "0.col_var":
            np.testing.assert_array_equal(after[moment], before[moment])
            continue
        np.testing.assert_array_equal(after[moment][kept], before[moment][kept])
        assert (after[moment][1] == settings.get("initial_accumulator_value", 0)).all()


@pytest.mark.parametrize("name", FORMULAS)
def test_a_trainer_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    def made() -> train.Trainer:
        vq.manual_seed(0)
        inner = partial(getattr(optim, name), lr=0.1)
        model = vq.models.SQVAE(vq.VectorQuant(8, 16, inplace_optimizer=inner), width=8)
        images = np.random.default_rng(0).integers(256, size=(8, 32, 32, 3), dtype=np.uint8)
        matrices = [p for p in model.parameters() if name != "Muon" or p.ndim == 2]
        optimizer: optim.Optimizer = optim.AdamW(model.parameters(), lr=1e-3)
        if matrices:
            optimizer = getattr(optim, name)(matrices, lr=1e-3)
        batches = data.Batches(images, batch_size=4)
        return train.Trainer(model, optimizer, batches, clip_norm=0.5)

    whole = made()
    whole.fit(2, progress=False)
    train.save_trainer(whole, tmp_path / "run.safetensors")
    whole.fit(3, progress=False)
    resumed = made()
    train.load_trainer(resumed, tmp_path / "run.safetensors")
    resumed.fit(3, progress=False)
    for state in ("model", "optimizer"):
        expected, found = (getattr(run, state).state_dict() for run in (whole, resumed))
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value, err_msg=key)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_theorem_is_not_claimed_of_them(name: str) -> None:
    model = estimators.quantize_model(nn.Sequential(nn.Linear(4, 3)), bits=2, estimator="cosine")
    weights = [p for p in model.parameters() if p.ndim == 2]
    optimizer = getattr(optim, name)(weights, weight_decay=0.0)
    before = model.state_dict()
    with pytest.raises(ValueError, match=f"{name} is neither SGD nor Adam"):
        estimators.to_ste(model, optimizer)
    assert all(np.array_equal(model.state_dict()[key], value) for key, value in before.items())
