"""Names and metadata in files are bytes: what only looks alike stays apart."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def test_texts_that_only_look_alike_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "file"
    arrays = {
        COMPOSED: np.array([1.0], np.float32),
        DECOMPOSED: np.array([2.0], np.float32),
        "\u212b": np.array([3.0], np.float32),
        "\u00c5": np.array([4.0], np.float32),
    }
    metadata = {COMPOSED: DECOMPOSED, DECOMPOSED: COMPOSED, "same": "\u212b", "other": "\u00c5"}
    vq.save(path, arrays, metadata)
    found, texts = vq.load(path)
    assert {name: value.item() for name, value in found.items()} == {
        name: value.item() for name, value in arrays.items()
    }
    assert texts == metadata
    assert [[*text] for text in texts.values()] == [[*texts[name]] for name in texts]


def test_parameters_whose_names_only_look_alike_load_each_its_own() -> None:
    class Pair(vq.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            setattr(self, COMPOSED, vq.Tensor([1.0], requires_grad=True))
            self.register_buffer(DECOMPOSED + "x", vq.Tensor([2.0]))
            self.register_buffer(COMPOSED + "x", vq.Tensor([3.0]))

    state = {name: value + 10 for name, value in Pair().state_dict().items()}
    model = Pair()
    model.load_state_dict(state)
    assert {n: v.item() for n, v in model.state_dict().items()} == {
        COMPOSED: 11,
        DECOMPOSED + "x": 12,
        COMPOSED + "x": 13,
    }


def raw(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def test_names_with_a_null_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    entry = b'{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}'
    two = b'{"a\\u0000b":' + entry % (0, 4) + b',"a\\u0000c":' + entry % (4, 8) + b"}"
    for header, data in (
        (two, bytes(8)),
        (b'{"__metadata__":{"a\\u0000b":"x","a\\u0000c":"y"}}', b""),
        (b'{"__metadata__":{"a":"x\\u0000y"}}', b""),
    ):
        path.write_bytes(raw(header, data))
        with pytest.raises(ValueError, match=r"U\+0000"):
            vq.load(path)
    for arrays, metadata in (
        ({"a\0b": np.ones(1)}, {}),
        ({}, {"a\0b": "x"}),
        ({}, {"a": "x\0y"}),
        ({"\ud800": np.ones(1)}, {}),
    ):
        with pytest.raises(ValueError, match=r"\[save\]"):
            vq.save(path, arrays, metadata)
    for arrays, metadata in (({1: np.ones(1)}, {}), ({}, {"a": 1}), ({}, {2: "a"})):
        with pytest.raises(TypeError, match=r"\[save\] .* a str is required"):
            vq.save(path, arrays, metadata)  # type: ignore[arg-type]


@pytest.mark.parametrize("shift", range(4))
def test_an_error_text_is_cut_between_characters(tmp_path: Path, shift: int) -> None:
    name = "x" * shift + "😀" * 3000
    path = tmp_path / "file"
    path.write_bytes(raw(b'{"' + name.encode() + b'":1}'))
    with pytest.raises(ValueError) as caught:
        vq.load(path)
    assert "😀" * 500 in str(caught.value) and len(str(caught.value).encode()) <= 4095
    path.write_bytes(raw(b'{"__metadata__":{"' + name.encode() + b'":1}}'))
    with pytest.raises(ValueError, match="__metadata__ must hold strings"):
        vq.load(path)
