"""What is measured of a finished row of Table 9."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import data, metrics
from ...._threads import get_threads
from .._weights import Weights
from ._judge import Judge
from ._painter import Painter
from ._sets import Images
from ._tokenizer import decoded, encoded

_SAMPLE_SEED = 2
_TIMED = 64  # images whose sampling time is told


def of_tokenizer(
    painter: Painter, images: Images, judge: Judge, count: int, weights: Weights
) -> dict[str, Any]:
    """Numbers of the first test images and their reconstructions, in [0, 1]."""
    test = images.test[:count]
    codes = encoded(painter.tokenizer, test)
    pictures = decoded(painter.tokenizer, codes)
    real = data.unit_range(test)
    quantizer = painter.tokenizer.quantizer
    assert quantizer is not None
    num_codes = quantizer.options["num_codes"]
    usage = metrics.CodeUsage(num_codes)
    usage.update(codes)
    share = codes[0].size / test[0, :, :, 0].size  # codes a pixel
    distances = judge.distances(judge.features(test), judge.features(pictures))
    told = {
        "mse": metrics.mse(real, pictures),
        "perplexity": usage.perplexity,
        "active_codes": usage.active_codes,
        "bits_per_pixel": math.ceil(math.log2(num_codes)) * share,
        "entropy_bits_per_pixel": math.log2(usage.perplexity) * share,
    }
    told |= {f"reconstruction_{key}": value for key, value in distances.items()}
    if images.test_labels is not None:
        right = judge.classes(pictures) == images.test_labels[:count]
        told["reconstruction_recognized"] = float(right.mean())
    if weights.lpips is not None:
        told["reconstruction_lpips"] = metrics.lpips(real, pictures, weights=weights.lpips)
    if weights.inception is not None:
        told["reconstruction_fid"] = metrics.fid(real, pictures, weights=weights.inception)
    return told


def of_samples(
    painter: Painter, images: Images, judge: Judge, count: int, weights: Weights
) -> dict[str, Any]:
    """Numbers of samples beside the images that they are compared with."""
    start = time.perf_counter()
    made, labels = painter.samples(count, _SAMPLE_SEED)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    painter.samples(_TIMED, _SAMPLE_SEED)
    of_64 = time.perf_counter() - start
    compared, other = images.compared_images(count), images.other_images(count)
    real, features = judge.features(compared), judge.features(made)
    balls = metrics.precision_recall(real, features)
    told: dict[str, Any] = judge.distances(real, features)
    told |= {
        "precision": balls.precision,
        "recall": balls.recall,
        "samples": count,
        "compared": f"{len(compared)} {images.compared} images",
        "data_classifier_frechet": metrics.frechet_distance(real, judge.features(other)),
        "classifier_accuracy": judge.accuracy,
        "features": judge.name,
        "sampling_seconds": seconds,
        "seconds_of_64_samples": of_64,
        "threads": get_threads(),
    }
    if images.classes:
        told["recognized"] = float((judge.classes(made) == labels).mean())
        told["chance"] = 1 / images.classes
    if weights.inception is not None:
        shown: NDArray[np.float32] = data.unit_range(compared)
        told["fid"] = metrics.fid(shown, made, weights=weights.inception)
    return told
