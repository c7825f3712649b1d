"""Safetensors files of every element type, and states that were averaged or came from elsewhere."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn


def write(path: Path, entries: dict[str, tuple[str, list[int], bytes]]) -> Path:
    header, end = {}, 0
    for name, (dtype, shape, content) in entries.items():
        begin, end = end, end + len(content)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    contents = (content for _, _, content in entries.values())
    path.write_bytes(b"".join([struct.pack("<Q", len(text)), text, *contents]))
    return path


INTEGERS = {
    "I64": np.array([0, 1, -1, 2**31 - 1, -(2**31)], np.int64),
    "I32": np.array([0, 1, -1, 2**31 - 1, -(2**31)], np.int32),
    "I16": np.array([0, 1, -1, 2**15 - 1, -(2**15)], np.int16),
    "I8": np.array([0, 1, -1, 127, -128], np.int8),
    "U64": np.array([0, 1, 2**31 - 1], np.uint64),
    "U32": np.array([0, 1, 2**31 - 1], np.uint32),
    "U16": np.array([0, 1, 2**16 - 1], np.uint16),
    "U8": np.array([0, 1, 255], np.uint8),
    "BOOL": np.array([False, True]),
}


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_become_int32(tmp_path: Path, dtype: str) -> None:
    array = INTEGERS[dtype]
    for shape in (list(array.shape), [1, array.size], [array.size, 1, 1]):
        path = write(tmp_path / "x", {"a": (dtype, shape, array.tobytes())})
        found = vq.load(path)[0]["a"]
        assert found.dtype == np.int32 and list(found.shape) == shape
        np.testing.assert_array_equal(found.ravel(), array)
    scalar = vq.load(write(tmp_path / "x", {"a": (dtype, [], array[:1].tobytes())}))[0]["a"]
    assert scalar.shape == () and scalar == array[0]
    empty = vq.load(write(tmp_path / "x", {"a": (dtype, [3, 0], b"")}))[0]["a"]
    assert empty.shape == (3, 0)


def test_every_half_is_read_exactly(tmp_path: Path) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    path = write(tmp_path / "x", {"a": ("F16", [1 << 16], bits.tobytes())})
    found, expected = vq.load(path)[0]["a"], bits.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    assert found.dtype == np.float32


def test_every_bfloat16_is_read_exactly(tmp_path: Path) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    path = write(tmp_path / "x", {"a": ("BF16", [1 << 16], bits.tobytes())})
    expected = (bits.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(vq.load(path)[0]["a"], expected)


def minifloat(byte: int, exponent_bits: int, bias: int) -> float:
    """By the definition: (-1)^s 2^(e - bias) (1 + f), or 2^(1 - bias) f."""
    fraction_bits = 7 - exponent_bits
    exponent = byte >> fraction_bits & ((1 << exponent_bits) - 1)
    fraction = (byte & ((1 << fraction_bits) - 1)) / (1 << fraction_bits)
    size = 2.0 ** (exponent - bias) * (1 + fraction) if exponent else 2.0 ** (1 - bias) * fraction
    return -size if byte & 0x80 else size


def test_every_float8_is_read_exactly(tmp_path: Path) -> None:
    content = bytes(range(256))
    path = write(
        tmp_path / "x",
        {name: (name, [256], content) for name in ("F8_E4M3", "F8_E5M2", "F8_E8M0")},
    )
    found = vq.load(path)[0]
    e4m3 = [np.nan if b & 0x7F == 0x7F else minifloat(b, 4, 7) for b in range(256)]
    e5m2 = (np.arange(256, dtype=np.uint16) << 8).view(np.float16).astype(np.float32)
    e8m0 = [2.0 ** (b - 127) for b in range(255)] + [np.nan]
    np.testing.assert_array_equal(found["F8_E4M3"], np.array(e4m3, np.float32))
    np.testing.assert_array_equal(found["F8_E5M2"], e5m2)
    np.testing.assert_array_equal(found["F8_E8M0"], np.array(e8m0, np.float32))


def test_float64_is_rounded_to_the_nearest(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    array = np.concatenate(
        [random.standard_normal(70_000), [0.1, -0.0, np.inf, -np.inf, np.nan, 1e-46, 1 + 2.0**-24]]
    )
    path = write(tmp_path / "x", {"a": ("F64", [array.size], array.tobytes())})
    found = vq.load(path)[0]["a"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, array.astype(np.float32))


FOREIGN = {
    "F4": ("F4", [2], b"\0"),
    "F6": ("F6_E2M3", [4], bytes(3)),
    "C64": ("C64", [1], bytes(8)),
    "unknown": ("Q7", [3, 3], bytes(5)),
    "wide": ("I64", [2], np.array([1, 2**31], np.int64).tobytes()),
    "low": ("I64", [1], np.array([-(2**31) - 1], np.int64).tobytes()),
    "unsigned": ("U32", [1], np.array([2**32 - 1], np.uint32).tobytes()),
    "huge": ("F64", [1], np.array([1e300]).tobytes()),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_an_entry_that_cannot_be_read_leaves_the_others(tmp_path: Path, case: str) -> None:
    ones = ("F32", [2], np.ones(2, np.float32).tobytes())
    path = write(tmp_path / "x", {"before": ones, case: FOREIGN[case], "after": ones})
    with pytest.warns(UserWarning, match=rf"\[load\] {case} is left out: ") as caught:
        arrays, _ = vq.load(path)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert {name: value.tolist() for name, value in arrays.items()} == {
        "before": [1, 1],
        "after": [1, 1],
    }


@pytest.mark.parametrize("case", FOREIGN)
def test_a_file_of_nothing_that_can_be_read_is_refused(tmp_path: Path, case: str) -> None:
    path = write(tmp_path / "x", {case: FOREIGN[case]})
    with pytest.raises(ValueError, match=rf"\[load\] .*x: tensor {case}: "):
        vq.load(path)


def test_bytes_that_do_not_fit_the_shape_are_refused_for_every_type(tmp_path: Path) -> None:
    for dtype, size in (("F64", 8), ("I64", 8), ("BF16", 2), ("BOOL", 1), ("F8_E4M3", 1)):
        path = write(tmp_path / "x", {"a": (dtype, [3], bytes(3 * size + 1))})
        with pytest.raises(ValueError, match=f"do not fit a shape of {3 * size} bytes"):
            vq.load(path)
    for shape in ([1 << 62, 8], [0, 1 << 62, 1 << 62]):
        with pytest.raises(ValueError, match="its size overflows"):
            vq.load(write(tmp_path / "x", {"a": ("F64", shape, b"")}))


def test_files_of_the_safetensors_package(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    random = np.random.default_rng(1)
    arrays = {
        str(np.dtype(kind)): random.integers(0, 2, (2, 3)).astype(kind) for kind in "bBhHiIlLefd?"
    }
    package.save_file(arrays, tmp_path / "x")
    found = vq.load(tmp_path / "x")[0]
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        kind = np.float32 if array.dtype.kind == "f" else np.int32
        assert found[name].dtype == kind
        np.testing.assert_array_equal(found[name], array)


# States from elsewhere.


def resnet_entries(
    model: nn.Module, counter: list[int], dtype: str
) -> dict[str, tuple[str, list[int], bytes]]:
    entries = {}
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            entries[name] = ("I64", counter, np.array(41, np.int64).tobytes())
        elif dtype == "F64":
            entries[name] = ("F64", list(value.shape), value.astype(np.float64).tobytes())
        else:
            entries[name] = ("F32", list(value.shape), value.tobytes())
    return entries


def test_resnet50_as_torchvision_writes_it(tmp_path: Path) -> None:
    model = vq.models.ResNet50(10)
    state = model.state_dict()
    for name in (
        "conv1.weight",
        "bn1.num_batches_tracked",
        "layer1.0.downsample.1.running_var",
        "layer4.2.bn3.bias",
        "fc.weight",
        "fc.bias",
    ):
        assert name in state
    for counter, dtype in (([], "F32"), ([1], "F64")):
        path = write(tmp_path / "resnet50", resnet_entries(model, counter, dtype))
        model.load_state_dict({name: np.zeros_like(value) for name, value in state.items()})
        model.load_state_dict(vq.load(path)[0])
        for name, found in model.state_dict().items():
            expected = 41 if name.endswith("num_batches_tracked") else state[name]
            np.testing.assert_array_equal(found, expected)
            assert found.shape == state[name].shape


def ema(states: list[dict[str, np.ndarray]], decay: float) -> dict[str, np.ndarray]:
    """The usual recipe, with NumPy."""
    average = dict(states[0])
    for state in states[1:]:
        for name, value in state.items():
            average[name] = decay * average[name] + (1 - decay) * value
    return average


def trained_states() -> tuple[nn.Module, list[dict[str, np.ndarray]]]:
    vq.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm(4), vq.VectorQuant(4, 8))
    states = []
    for _ in range(3):
        model(vq.Generator(1).normal((16, 4)))
        states.append(model.state_dict())
    return model, states


def test_an_average_of_equal_states_loads_without_a_word() -> None:
    model, states = trained_states()
    averaged = ema([states[-1]] * 50, 0.999)
    assert averaged["1.num_batches_tracked"].dtype == np.float64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.load_state_dict(averaged)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value, states[-1][name], rtol=50 * 2**-23, err_msg=name)


def test_an_average_of_states_loads_and_rounds_its_counters() -> None:
    model, states = trained_states()
    averaged = ema(states, 0.9)
    with pytest.warns(UserWarning, match=r"num_batches_tracked: 1\.29 is rounded to 1") as caught:
        model.load_state_dict(averaged)
    assert {warning.filename for warning in caught} == {__file__}
    found = model.state_dict()
    assert found["1.num_batches_tracked"] == 1
    np.testing.assert_array_equal(found["0.weight"], averaged["0.weight"].astype(np.float32))
    double = {name: value.astype(np.float64) for name, value in states[1].items()}
    model.load_state_dict(double)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, states[1][name])


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "bool"])
def test_parameters_take_what_float32_holds(dtype: str) -> None:
    layer = nn.Linear(2, 2)
    weight = np.array([[0, 1], [1, 0]]).astype(dtype)
    layer.load_state_dict({"weight": weight, "bias": np.zeros(2)})
    np.testing.assert_array_equal(layer.state_dict()["weight"], weight.astype(np.float32))


# Halves


HALVES = {"F16": "float16", "BF16": "bfloat16"}


def entries_of(path: Path) -> dict[str, dict[str, object]]:
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    found: dict[str, dict[str, object]] = json.loads(content[8 : 8 + size])
    return found


@pytest.mark.parametrize("stored", HALVES)
def test_halves_are_written_as_they_are(tmp_path: Path, stored: str) -> None:
    values = np.random.default_rng(2).standard_normal((3, 5)).astype(np.float32)
    half = vq.Tensor(values, dtype=HALVES[stored])
    vq.save(tmp_path / "x", {"a": half, "b": half[:0].astype(HALVES[stored]), "c": values})
    entries = entries_of(tmp_path / "x")
    assert [entries[name]["dtype"] for name in "abc"] == [stored, stored, "F32"]
    assert (tmp_path / "x").stat().st_size % 2 == 0
    found = vq.load(tmp_path / "x")[0]
    np.testing.assert_array_equal(found["a"], half.astype(np.float32).numpy())
    np.testing.assert_array_equal(found["c"], values)
    assert found["b"].shape == (0, 5)


def test_numpy_halves_stay_halves(tmp_path: Path) -> None:
    array = np.array([[0.1, 2.0, np.nan]], np.float16)
    vq.save(tmp_path / "x", {"a": array, "b": [np.float16(3)]})
    assert [e["dtype"] for e in entries_of(tmp_path / "x").values()] == ["F16", "F16"]
    np.testing.assert_array_equal(vq.load(tmp_path / "x")[0]["a"], array.astype(np.float32))


@pytest.mark.parametrize("dtype", [*HALVES.values(), "float32"])
def test_a_state_in_half_the_bytes(tmp_path: Path, dtype: str) -> None:
    layer = nn.Sequential(nn.Linear(40, 50), nn.BatchNorm(50))
    state = layer.state_dict()
    vq.save(tmp_path / "half", state, dtype=dtype)
    vq.save(tmp_path / "whole", state)
    found = vq.load(tmp_path / "half")[0]
    for name, value in state.items():
        expected = value
        if value.dtype == np.float32:
            expected = vq.Tensor(value, dtype=dtype).astype(np.float32).numpy()
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], expected)
    layer.load_state_dict(found)
    halves = (tmp_path / "half").stat().st_size / (tmp_path / "whole").stat().st_size
    assert halves < 0.6 if dtype != "float32" else halves == 1


def test_a_half_that_would_be_infinite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    values = np.array([1.0, np.inf, 65520.0], np.float32)
    with pytest.raises(ValueError, match=r"\[save\] w holds 65520\.0, which float16 does not"):
        vq.save(path, {"w": values}, dtype=np.float16)
    assert not path.exists()
    vq.save(path, {"w": values}, dtype=vq.bfloat16)
    np.testing.assert_array_equal(vq.load(path)[0]["w"], [1, np.inf, 65536])


def test_halves_load_into_parameters(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    half = {name: vq.Tensor(v, dtype="bfloat16") for name, v in layer.state_dict().items()}
    layer.load_state_dict(half)
    for name, value in layer.state_dict().items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, half[name].numpy())
