"""Two processes that train together have one state after every step."""

from __future__ import annotations

import datetime
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import vqswift as vq

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import D, K, vectors  # noqa: E402
from vqswift.torch import _device  # noqa: E402

STEPS = 3


def sgd(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.7, momentum=0.9)


def adam(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.02)


def vqswift_s_sgd(parameters: Any) -> Any:
    return vq.optim.SGD(parameters, lr=0.7, momentum=0.9)


LAYERS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "learned, affine": (vqt.VectorQuant, (D, K), {"affine_lr": 0.5, "sync_nu": 0.3}),
    "EMA": (vqt.VectorQuant, (D, K), {"ema_decay": 0.8}),
    "EMA, replaced, k-means": (
        vqt.VectorQuant,
        (D, K),
        {"ema_decay": 0.8, "replace_freq": 1, "kmeans_init": True},
    ),
    "moments, batch norm": (vqt.VectorQuant, (D, K), {"affine": "ema", "norm": "bn"}),
    "residual, dropout": (
        vqt.ResidualVectorQuant,
        (D, K),
        {"stages": 3, "quantizer_dropout": 0.5, "ema_decay": 0.8},
    ),
    "in place, nu": (
        vqt.VectorQuant,
        (D, K),
        {"affine_lr": 0.5, "sync_nu": 0.3, "inplace_optimizer": sgd},
    ),
    "in place, k-means, replaced": (
        vqt.VectorQuant,
        (D, K),
        {"kmeans_init": True, "replace_freq": 1, "inplace_optimizer": adam},
    ),
    "in place, residual, dropout": (
        vqt.ResidualVectorQuant,
        (D, K),
        {"stages": 3, "quantizer_dropout": 0.5, "sync_nu": 0.3, "inplace_optimizer": vqswift_s_sgd},
    ),
    "Gumbel": (vqt.GumbelQuant, (D, K), {"temperature_decay": 0.9}),
    "EMA, affine, elsewhere": (vqt.VectorQuant, (D, K), {"ema_decay": 0.8, "affine_lr": 0.5}),
    "EMA, replaced, k-means, elsewhere": (
        vqt.VectorQuant,
        (D, K),
        {"ema_decay": 0.8, "replace_freq": 1, "kmeans_init": True},
    ),
    "learned, affine, replaced, elsewhere": (
        vqt.VectorQuant,
        (D, K),
        {"affine_lr": 0.5, "sync_nu": 0.3, "replace_freq": 1},
    ),
    "residual, dropout, elsewhere": (
        vqt.ResidualVectorQuant,
        (D, K),
        {"stages": 3, "quantizer_dropout": 0.5, "ema_decay": 0.8},
    ),
    "in place, nu, elsewhere": (
        vqt.VectorQuant,
        (D, K),
        {"affine_lr": 0.5, "sync_nu": 0.3, "inplace_optimizer": sgd},
    ),
    "in place, k-means, replaced, elsewhere": (
        vqt.VectorQuant,
        (D, K),
        {"kmeans_init": True, "replace_freq": 1, "inplace_optimizer": adam},
    ),
    "Gumbel, elsewhere": (vqt.GumbelQuant, (D, K), {"temperature_decay": 0.9}),
}


def where(name: str) -> AbstractContextManager[None]:
    """The formulas for other devices, on the CPU, or the kernels."""
    return _device.forced() if name.endswith("elsewhere") else nullcontext()


def made(name: str) -> torch.nn.Module:
    kind, sizes, options = LAYERS[name]
    module: torch.nn.Module = kind(*sizes, seed=2, **options)
    return module


def batch(step: int, rank: int) -> torch.Tensor:
    return vectors(4, 8, D, seed=10 * step + rank)


def objective(output: tuple[Any, Any]) -> torch.Tensor:
    z_q, info = output
    return z_q.square().mean() + info.loss


def optimizer_of(module: torch.nn.Module) -> Any:
    trained = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.SGD(trained, lr=0.1) if trained else None


def state_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state, with the moments of in-place optimizers."""
    state = {n: v.clone() for n, v in module.state_dict().items() if torch.is_tensor(v)}
    for index, optimizer in enumerate(getattr(module, "inplace_optimizers", ())):
        for moments in optimizer.state.values():
            state |= {f"inplace.{index}.{n}": v.clone() for n, v in moments.items()}
    return state


def train(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=120),
    )
    found = {}
    for name in LAYERS:
        module = made(name)
        optimizer = optimizer_of(module)
        run = (
            module
            if optimizer is None
            else torch.nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)
        )
        states = []
        for step in range(STEPS):
            with where(name):
                objective(run(batch(step, rank).requires_grad_())).backward()
            if optimizer is not None:
                optimizer.step()
                optimizer.zero_grad()
            states.append(state_of(module))
        found[name] = states
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("distributed")
    torch.multiprocessing.spawn(train, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", LAYERS)
def test_both_processes_have_one_state_after_every_step(
    name: str, states: list[dict[str, Any]]
) -> None:
    for first, second in zip(states[0][name], states[1][name], strict=True):
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert torch.equal(value, second[key]), key
    moving = [k for k in states[0][name][0] if k.endswith(("codebook", "weight", "scale"))]
    first, last = states[0][name][0], states[0][name][-1]
    assert any(not torch.equal(first[key], last[key]) for key in moving)


@pytest.mark.parametrize(
    "name",
    ["EMA", "learned, affine", "in place, nu", "EMA, affine, elsewhere", "in place, nu, elsewhere"],
)
def test_two_processes_train_as_one_with_both_batches(
    name: str, states: list[dict[str, Any]]
) -> None:
    module = made(name)
    optimizer = optimizer_of(module)
    for step in range(STEPS):
        objective(module(torch.cat([batch(step, 0), batch(step, 1)]).requires_grad_())).backward()
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()
        for key, value in state_of(module).items():
            torch.testing.assert_close(states[0][name][step][key], value, rtol=1e-5, atol=1e-5)
