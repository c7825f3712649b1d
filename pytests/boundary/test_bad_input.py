"""Bad input raises an exception of the right class whose text names operation, values and rule.

None ends the process: after each case a valid call works.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from bad_input import (
    data,
    estimators,
    further_layers,
    layers,
    learned_quantizers,
    metrics,
    optimizers,
    quantizer_family,
    quantizer_options,
    quantizers,
    state,
    tensors,
)
from bad_input.case import ones


@pytest.fixture(autouse=True)
def the_core_still_works() -> Iterator[None]:
    yield
    assert (ones(2, 3) @ ones(3, 2)).numpy().tolist() == [[3, 3], [3, 3]]
    z_q, _ = vq.VectorQuant(2, 4)(ones(3, 2))
    assert z_q.shape == (3, 2)


GROUPS = {
    "tensor": tensors.TENSOR,
    "gradient": tensors.GRADIENT,
    "sizes": tensors.SIZES,
    "layer": layers.LAYER,
    "further layer": further_layers.FURTHER_LAYER,
    "quantizer": quantizers.QUANTIZER,
    "option": quantizer_options.OPTION,
    "call": quantizer_options.CALL,
    "quantizer family": quantizer_family.QUANTIZER_FAMILY,
    "learned quantizer": learned_quantizers.LEARNED_QUANTIZER,
    "estimator": estimators.ESTIMATOR,
    "weight quantizer": estimators.WEIGHT_QUANTIZER,
    "conversion": estimators.CONVERSION,
    "metric": metrics.METRIC,
    "optimizer": optimizers.OPTIMIZER,
    "state": state.STATE,
    "data": data.DATA,
}


@pytest.mark.parametrize(
    ("call", "exception", "parts"),
    [case for group in GROUPS.values() for case in group.values()],
    ids=[f"{group}: {name}" for group, cases in GROUPS.items() for name in cases],
)
def test_bad_input(
    call: Callable[[], object], exception: type[Exception], parts: list[str]
) -> None:
    with pytest.raises(exception) as caught:
        call()
    assert type(caught.value) in (exception if isinstance(exception, tuple) else {exception})
    for part in parts:
        assert part in str(caught.value)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[:-4],
    "longer": lambda data: data + b"\0\0\0\0",
    "empty": lambda data: b"",
    "short": lambda data: data[:5],
    "header length": lambda data: b"\xff" * 8 + data[8:],
    "garbage": lambda data: bytes(range(256)) * 4,
    "header text": lambda data: data[:8] + b"}" + data[9:],
    "dtype": lambda data: data.replace(b"F32", b"F99"),
    "negative offset": lambda data: data.replace(b"[0,", b"[-,"),
    "shape": lambda data: data.replace(b"[10]", b"[99]"),
    "huge shape": lambda data: data.replace(b"[10]", b"[9]}"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_checkpoint(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "damaged.safetensors"
    vq.save(path, {"a": np.arange(10.0)})
    intact = path.read_bytes()
    assert damage(intact) != intact
    path.write_bytes(damage(intact))
    with pytest.raises(ValueError, match=r"\[load\] .*damaged\.safetensors: "):
        vq.load(path)


@pytest.mark.filterwarnings("ignore:.*is left out:UserWarning")
def test_each_byte_of_the_header_may_be_wrong(tmp_path: Path) -> None:
    """A flipped byte loads or raises; it never ends the process."""
    path = tmp_path / "flipped.safetensors"
    vq.save(path, {"weight": np.arange(6.0).reshape(2, 3), "codes": np.arange(3, dtype=np.int32)})
    intact = path.read_bytes()
    for position in range(len(intact) - 36):
        for flip in (0x01, 0x10, 0x80):
            damaged = bytearray(intact)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            with contextlib.suppress(ValueError, OverflowError, MemoryError):
                vq.load(path)
