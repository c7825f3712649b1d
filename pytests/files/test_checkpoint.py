"""Safetensors files: round trips, the format, resumed training."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from conftest import run_python
from vqswift import Tensor


def test_arrays_and_metadata_make_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    arrays = {
        "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
        "codes": np.array([1, -2], np.int32),
        "scalar": np.float32(2.5),
        "empty": np.zeros((0, 4), np.float32),
        "special": np.array([np.nan, np.inf, -0.0, 1e-45], np.float32),
        'a "quoted"\n名前.weight': np.ones(1, np.float32),
    }
    metadata = {"step": "7", "text": 'ü "\\ \n\t\x01 😀', "": ""}
    vq.save(path, arrays, metadata)
    loaded, read = vq.load(path)
    assert read == metadata and loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype and loaded[name].shape == array.shape
        assert loaded[name].tobytes() == array.tobytes()


def test_tensors_and_float64_are_kept_as_float32(tmp_path: Path) -> None:
    path = str(tmp_path / "b")
    vq.save(path, {"tensor": Tensor([1.5]), "double": np.array([0.1]), "list": [1, 2]})
    loaded, metadata = vq.load(path)
    assert loaded["tensor"].tolist() == [1.5] and loaded["double"].dtype == np.float32
    assert loaded["list"].dtype == np.int32 and metadata == {}


def test_the_file_is_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "c"
    vq.save(path, {"a": np.ones((2, 2), np.float32), "b": np.array([5], np.int32)}, {"k": "v"})
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert header["__metadata__"] == {"k": "v"}
    assert header["a"] == {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    assert header["b"] == {"dtype": "I32", "shape": [1], "data_offsets": [16, 20]}
    assert (8 + length) % 8 == 0 and len(data) == 8 + length + 20


def test_a_file_written_elsewhere_loads(tmp_path: Path) -> None:
    header = b'{ "x":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"} }  '
    path = tmp_path / "d"
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1, 2))
    assert vq.load(path)[0]["x"].tolist() == [1, 2]


def test_the_safetensors_package_agrees(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    vq.save(tmp_path / "e", {"a": np.arange(4.0)})
    assert safetensors.load_file(tmp_path / "e")["a"].tolist() == [0, 1, 2, 3]
    safetensors.save_file({"b": np.arange(3, dtype=np.float32)}, tmp_path / "f")
    assert vq.load(tmp_path / "f")[0]["b"].tolist() == [0, 1, 2]


def test_saving_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "g"
    for value in (1.0, 2.0):
        vq.save(path, {"a": [value]})
    assert vq.load(path)[0]["a"].tolist() == [2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["g"]


def test_a_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "h"
    vq.save(path, {"a": [1.0]})
    with pytest.raises(ValueError, match="__metadata__"):
        vq.save(path, {"__metadata__": [2.0]})
    assert vq.load(path)[0]["a"].tolist() == [1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["h"]


RESUME = """
import sys
import numpy as np
import vqswift as vq
from vqswift import nn, optim

path, start, stop = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
vq.set_threads(1)
vq.manual_seed(3)
layer = vq.VectorQuant(4, 16, sync_nu=1.0, affine_lr=1.0, replace_freq=2, kmeans_init=True)
encoder, decoder = nn.Linear(8, 4), nn.Linear(4, 8)
modules = {"encoder": encoder, "layer": layer, "decoder": decoder}
optimizer = optim.AdamW([p for m in modules.values() for p in m.parameters()], lr=1e-2)
generator = vq.Generator(1)
if start:
    state, metadata = vq.load(path)
    for name, module in modules.items():
        part = {n[len(name) + 1:]: v for n, v in state.items() if n.startswith(name + ".")}
        module.load_state_dict(part)
    optimizer.load_state_dict({n[6:]: v for n, v in state.items() if n.startswith("optim.")})
    generator.counter = int(metadata["counter"])
for _ in range(start, stop):
    x = generator.normal((32, 8))
    z_q, info = layer(encoder(x))
    (nn.functional.mse_loss(decoder(z_q), x) + info.loss).backward()
    optimizer.step()
    optimizer.zero_grad()
state = {f"{n}.{k}": v for n, m in modules.items() for k, v in m.state_dict().items()}
state |= {f"optim.{k}": v for k, v in optimizer.state_dict().items()}
vq.save(path, state, {"counter": str(generator.counter)})
"""


def test_a_resumed_process_continues_bit_for_bit(tmp_path: Path) -> None:
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    run_python(RESUME, whole, "0", "8")
    run_python(RESUME, parts, "0", "4")
    run_python(RESUME, parts, "4", "8")
    assert Path(whole).read_bytes() == Path(parts).read_bytes()
