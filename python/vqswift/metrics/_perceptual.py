"""Distances in the features of trained networks, whose weights the user supplies."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._arrays import as_array
from .._tensor import Tensor
from ._features import frechet_distance

Array = npt.ArrayLike | Tensor


@checked
def lpips(
    a: Array,
    b: Array,
    *,
    weights: str | Path,
    net: str = "alex",
    data_range: float = 1.0,
    batch_size: int = 64,
) -> float:
    """Learned perceptual image patch similarity (Zhang et al. 2018), v0.1; 0 for equal images.

    Needs `vqswift[metrics]`; the package `lpips` brings the linear heads.

    Args:
        a, b: images [n, h, w, 3] in [0, data_range].
        weights: torch checkpoint of torchvision's "alexnet", "vgg16" or "squeezenet1_1", whichever
            `net` names. Nothing is downloaded.
        net: "alex", "vgg" or "squeeze".
        data_range: the largest value.
        batch_size: pairs that go through the network together.
    """
    if net not in ("alex", "vgg", "squeeze"):
        raise ValueError(f"[lpips] net = {net!r}: it must be 'alex', 'vgg' or 'squeeze'")
    path = existing("lpips", weights)
    torch, library = libraries("lpips", "torch", "lpips")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    first, second = _images("lpips", a, data_range), _images("lpips", b, data_range)
    if first.shape != second.shape:
        raise ValueError(
            f"[lpips] shapes {list(first.shape)} and {list(second.shape)}: they must be equal"
        )
    model = library.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    _load_backbone(model.net, checkpoint, str(weights))
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(first), batch_size):
            pair = [
                torch.from_numpy(x[start : start + batch_size].transpose(0, 3, 1, 2) * 2 - 1)
                for x in (first, second)
            ]
            total += float(model(*pair).double().sum())
    return total / len(first)


def _load_backbone(backbone: Any, checkpoint: dict[str, Any], path: str) -> None:
    """lpips keeps torchvision's layer `features.I` as `sliceS.I`."""
    own = backbone.state_dict()
    names = {name: "features." + name.partition(".")[2] for name in own}
    missing = [
        source
        for name, source in names.items()
        if source not in checkpoint or checkpoint[source].shape != own[name].shape
    ]
    if missing:
        raise ValueError(
            f"[lpips] {path}: {missing[0]} is missing or of another shape: "
            "torchvision's checkpoint of the network is required"
        )
    backbone.load_state_dict({name: checkpoint[source] for name, source in names.items()})


@checked
def fid(
    a: Array, b: Array, *, weights: str | Path, data_range: float = 1.0, batch_size: int = 64
) -> float:
    """Frechet inception distance (Heusel et al. 2017) of two sets of images, 0 for equal ones.

    `frechet_distance` of the 2048 features of the Inception network of the original code, as
    `torch-fidelity` computes them from 8-bit images. Needs `vqswift[metrics]`.

    Args:
        a, b: images [n, h, w, 3] in [0, data_range], at least 2 each.
        weights: `weights-inception-2015-12-05-6726825d.pth`, as torch-fidelity names it. Nothing is
            downloaded.
        data_range: the largest value.
        batch_size: images that go through the network together.
    """
    path = existing("fid", weights)
    torch, library = libraries("fid", "torch", "torch_fidelity.feature_extractor_inceptionv3")
    sets = _images("fid", a, data_range), _images("fid", b, data_range)
    # torch-fidelity unpickles whatever the file holds: refuse all but tensors before.
    torch.load(path, map_location="cpu", weights_only=True)
    model = library.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
    ).eval()

    def features(images: np.ndarray) -> np.ndarray:
        bytes_ = np.rint(images.clip(0, 1) * 255).astype(np.uint8).transpose(0, 3, 1, 2)
        with torch.no_grad():
            parts = [
                model(torch.from_numpy(bytes_[start : start + batch_size].copy()))[0].numpy()
                for start in range(0, len(bytes_), batch_size)
            ]
        return np.concatenate(parts)

    return frechet_distance(features(sets[0]), features(sets[1]))


def libraries(operation: str, *names: str) -> list[Any]:
    """Modules of the extra; ImportError says how to install one that is missing."""
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise ImportError(
            f"[{operation}] {error}: install it with pip install 'vqswift[metrics]'"
        ) from error


def existing(operation: str, path: str | Path) -> Path:
    """A file of weights that is there."""
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"[{operation}] weights = {str(path)!r}: no such file, and none is downloaded"
        )
    return Path(path)


def _images(operation: str, images: Array, data_range: float) -> np.ndarray:
    """Floating images [n, h, w, 3], at least one, as float32 over `data_range`."""
    array = as_array(operation, "images", images)
    if array.dtype.kind != "f":
        raise TypeError(f"[{operation}] dtype {array.dtype}: floating images are required")
    if array.ndim != 4 or array.shape[3] != 3 or array.size == 0:
        raise ValueError(
            f"[{operation}] shape {list(array.shape)}: images [n, h, w, 3], n >= 1, are required"
        )
    if not data_range > 0:
        raise ValueError(f"[{operation}] data_range = {data_range}: must be positive")
    if not np.isfinite(array).all():
        raise ValueError(f"[{operation}] the images hold NaN or infinity")
    return (array / data_range).astype(np.float32)
