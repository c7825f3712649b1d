"""Streams of PyTorch's loaders and tensors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from vqswift import data

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def test_labels_of_torch_stay_integers() -> None:
    given = torch.full((3, 2), 255, dtype=torch.uint8), torch.arange(3, dtype=torch.uint8)
    x, labels = next(iter(data.Stream([given])))
    assert (x == 1).all() and labels.dtype == np.int32 and labels.tolist() == [0, 1, 2]


def test_a_loader_without_a_length_is_told_to_give_one() -> None:
    class Numbers(torch.utils.data.IterableDataset):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Iterator[np.ndarray]:
            return iter(np.zeros((2, 4)))

    stream = data.Stream(torch.utils.data.DataLoader(Numbers(), batch_size=1))
    assert [x.shape for x in stream] == [(1, 4), (1, 4)]
    with pytest.raises(TypeError, match=r"\[stream\] the iterable has no len: length= must"):
        len(stream)
