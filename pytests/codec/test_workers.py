"""Batches through copies of a network in threads: the same files as on the calling thread alone."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import codec, estimators, nn, optim

Image: Any = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

COUNT, BATCH = 45, 2


@pytest.fixture(scope="module")
def model() -> vq.models.SQVAE:
    vq.manual_seed(0)
    return vq.models.SQVAE(vq.VectorQuant(8, 37), width=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More images than four batches for each of two threads, one of another size among them."""
    found = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(3)
    for index in range(COUNT):
        size = (16, 12) if index == 11 else (8, 8)
        pixels = random.integers(256, size=(*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(found / f"{index:02}.png")
    return found


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the threads that call a network to encode."""
    found: set[str] = set()
    encode = codec._network.ImageNetwork.encode

    def noting(network: Any, images: Any) -> Any:
        found.add(threading.current_thread().name.rpartition("_")[0])
        return encode(network, images)

    monkeypatch.setattr(codec._network.ImageNetwork, "encode", noting)
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_files_are_those_of_the_calling_thread(
    model: vq.models.SQVAE,
    folder: Path,
    tmp_path: Path,
    threads: Callable[[int], None],
    callers: set[str],
) -> None:
    tallies = []
    for count in (1, 2, 5):
        threads(count)
        own = tmp_path / str(count)
        codec.encode_files(model, folder, own / "codes", batch_size=BATCH)
        codec.decode_files(model, own / "codes", own / "images", batch_size=BATCH)
        tallies.append(codec.reconstruct_files(model, folder, own / "again", batch_size=BATCH))
        assert ("vqswift-network" in callers) == (count > 1)
    for kind in ("codes", "images", "again"):
        alone, *others = (content(tmp_path / str(count) / kind) for count in (1, 2, 5))
        assert len(alone) == COUNT and all(other == alone for other in others)
    assert tallies[0] == tallies[1] == tallies[2]
    assert model.training


def test_large_images_go_on_all_threads(
    model: vq.models.SQVAE,
    folder: Path,
    tmp_path: Path,
    threads: Callable[[int], None],
    callers: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads(2)
    codec.encode_files(model, folder, tmp_path / "small", batch_size=BATCH)
    callers.clear()
    # A batch of two images of 8x8 is small enough for two threads, one of 16x12 is not.
    monkeypatch.setattr(codec._workers, "PIXELS_AT_ONCE", 2 * 2 * 64)
    codec.encode_files(model, folder, tmp_path / "large", batch_size=BATCH)
    assert callers == {"vqswift-network", ""}
    assert content(tmp_path / "small") == content(tmp_path / "large")


def test_products_of_the_callers_block(
    model: vq.models.SQVAE, folder: Path, tmp_path: Path, threads: Callable[[int], None]
) -> None:
    images = {}
    for count in (1, 2):
        threads(count)
        with vq.autocast(simulate=True):
            codec.reconstruct_files(model, folder, tmp_path / str(count), batch_size=BATCH)
        images[count] = content(tmp_path / str(count))
    codec.reconstruct_files(model, folder, tmp_path / "float32", batch_size=BATCH)
    assert images[1] == images[2] != content(tmp_path / "float32")


class Mine(nn.Module):
    """A network that is not the library's."""

    num_codes = 16

    def encode(self, x: vq.Tensor) -> vq.Tensor:
        return vq.Tensor((x.numpy()[..., 0] * 15).astype(np.int32))

    def decode(self, codes: vq.Tensor) -> vq.Tensor:
        raise AssertionError


def hooked(model: Any) -> None:
    model.decoder.register_forward_hook(lambda module, args, output: output)


def hooked_before(model: Any) -> None:
    model.encoder.register_forward_pre_hook(lambda module, args: None)


def with_a_lock(model: Any) -> None:
    model._lock = threading.Lock()


def with_an_optimizer(model: Any) -> None:
    model.optimizer = optim.Adam(model.parameters(), lr=1e-3)


def with_a_method(model: Any) -> None:
    encode = model.encode
    model.encode = lambda x: encode(x)


def with_quantized_weights(model: Any) -> None:
    estimators.quantize_model(model, bits=4)


@pytest.mark.parametrize(
    "change",
    [hooked, hooked_before, with_a_lock, with_an_optimizer, with_a_method, with_quantized_weights],
)
def test_a_network_with_what_is_the_users_is_not_copied(
    change: Callable[[Any], None],
    model: vq.models.SQVAE,
    folder: Path,
    tmp_path: Path,
    threads: Callable[[int], None],
    callers: set[str],
) -> None:
    threads(2)
    changed = copy.deepcopy(model)
    change(changed)
    codec.encode_files(changed, folder, tmp_path, batch_size=BATCH)
    assert callers == {""} and len(content(tmp_path)) == COUNT


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (Mine(), ""),
        (
            vq.models.SQVAE(
                vq.VectorQuant(8, 9, inplace_optimizer=lambda p: optim.SGD(p, lr=1.0)), width=8
            ),
            "",
        ),
        (vq.models.SQVAE(vq.ResidualVectorQuant(8, 9, stages=2, affine_lr=1.0), width=8), "own"),
        (vq.models.VQGAN(vq.VectorQuant(8, 9), width=8, multipliers=(1, 1), features=8), "own"),
    ],
    ids=["own class", "optimizer of codes", "residual", "vqgan"],
)
def test_networks_of_the_library_alone_are_copied(
    network: Any,
    name: str,
    folder: Path,
    tmp_path: Path,
    threads: Callable[[int], None],
    callers: set[str],
) -> None:
    threads(2)
    codec.encode_files(network, folder, tmp_path, batch_size=BATCH)
    assert ("vqswift-network" in callers) == bool(name) and len(content(tmp_path)) == COUNT


def test_a_fault_in_a_thread_is_raised_and_what_was_written_stays(
    model: vq.models.SQVAE,
    folder: Path,
    tmp_path: Path,
    threads: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads(2)
    encode, calls = codec._network.ImageNetwork.encode, []

    def failing(network: Any, images: Any) -> Any:
        calls.append(None)
        if len(calls) == 9:
            raise FloatingPointError("the ninth batch")
        return encode(network, images)

    monkeypatch.setattr(codec._network.ImageNetwork, "encode", failing)
    with pytest.raises(FloatingPointError, match="the ninth batch"):
        codec.encode_files(model, folder, tmp_path, batch_size=BATCH)
    written = content(tmp_path)
    assert 7 * BATCH <= len(written) < COUNT and all(name.endswith(".vq") for name in written)
    assert not [t for t in threading.enumerate() if t.name.startswith("vqswift-")]
