"""Sizes of every magnitude through the public API: a result or an exception, never a death.

A case takes one call and replaces some of its sizes by extreme ones. Memory is bounded, so that a
size that would fit on a large machine is a MemoryError here.
"""

import random
import resource
from collections.abc import Callable
from typing import Any

import _campaign
import numpy as np
import vqswift as vq
from vqswift import estimators, metrics, models, nn, optim
from vqswift.nn import functional as F

EXTREMES = [
    *(0, 1, -1, 2, 3, 7, 2**15, 2**16, 2**16 + 1, 2**20, -(2**31), -(2**31) - 1, 2**31 - 1, 2**31),
    *(2**32 - 1, 2**32, 2**32 + 1, 2**44, 2**46, 2**61, 2**62, 2**63 - 2, 2**63 - 1, -(2**62)),
    *(-(2**63), -(2**63) + 1, 2**63, 2**64, -(2**64), 10**30),
]
REFUSALS = (ValueError, IndexError, OverflowError, MemoryError, TypeError, RuntimeError)


def ones(*shape: int) -> vq.Tensor:
    return vq.Tensor(np.ones(shape, np.float32), requires_grad=True)


def codes(*shape: int) -> vq.Tensor:
    return vq.Tensor(np.zeros(shape, np.int32))


def use(layer: Any, x: vq.Tensor) -> None:
    result = layer(x)
    (result[0] if isinstance(result, tuple) else result).sum().backward()


def backward(x: vq.Tensor) -> None:
    x.sum().backward()


def quantize(make: Callable[..., Any]) -> Callable[..., None]:
    return lambda *sizes: use(make(*sizes), ones(9, 4))


def option(name: str, **others: Any) -> Callable[[int], None]:
    return quantize(lambda value: vq.VectorQuant(4, 8, **{name: value}, **others))


X = np.ones((9, 4), np.float32)
Call = tuple[Callable[..., Any], tuple[int, ...]]
CALLS: dict[str, Call] = {
    "slice": (lambda a, b, c: backward(ones(5, 6)[a:b:c]), (0, 5, 2)),
    "two slices": (lambda a, b, c, d: backward(ones(5, 6)[a::b, c::d]), (0, 2, 0, 3)),
    "index": (lambda a, b: backward(ones(5, 6)[a, b]), (2, 3)),
    "reshape": (lambda a, b: backward(ones(5, 6).reshape(a, b)), (6, 5)),
    "reshape empty": (lambda a, b, c: backward(ones(0, 6).reshape(a, b, c)), (0, 2, 3)),
    "permute": (lambda a, b: backward(ones(5, 6).permute(a, b)), (1, 0)),
    "broadcast": (lambda a, b: backward(ones(5, 1).broadcast_to((a, b))), (5, 6)),
    "broadcast empty": (lambda a, b: backward(ones(0, 1).broadcast_to((a, b))), (0, 6)),
    "sum": (lambda a, b: backward(ones(5, 6).sum(axis=(a, b))), (0, 1)),
    "max": (lambda a: backward(ones(5, 6).max(axis=a)), (0,)),
    "argmax": (lambda a: ones(5, 6).argmax(axis=a), (0,)),
    "softmax": (lambda a: backward(ones(5, 6).softmax(axis=a)), (0,)),
    "one_hot": (lambda a: codes(3).one_hot(a), (4,)),
    "one_hot empty": (lambda a: codes(0).one_hot(a), (4,)),
    "scatter_add_rows": (lambda a: backward(ones(3, 2).scatter_add_rows(codes(3), a)), (4,)),
    "concatenate": (lambda a: backward(vq.concatenate([ones(2, 3), ones(2, 3)], axis=a)), (0,)),
    "stack": (lambda a: backward(vq.stack([ones(2, 3), ones(2, 3)], axis=a)), (0,)),
    "conv2d": (
        lambda a, b, c, d: backward(
            F.conv2d(ones(1, 6, 7, 2), ones(3, 2, 3, 2), None, (a, b), (c, d))
        ),
        (1, 2, 1, 0),
    ),
    "conv2d empty": (
        lambda a, b, c, d: F.conv2d(ones(0, 6, 7, 2), ones(3, 2, 3, 2), None, (a, b), (c, d)),
        (1, 2, 1, 0),
    ),
    "conv_transpose2d": (
        lambda a, b, c, d, e, f: backward(
            F.conv_transpose2d(ones(1, 6, 7, 2), ones(2, 3, 3, 2), None, (a, b), (c, d), (e, f))
        ),
        (2, 2, 1, 0, 1, 0),
    ),
    "max_pool2d": (
        lambda a, b, c, d, e, f: backward(F.max_pool2d(ones(1, 6, 7, 2), (a, b), (c, d), (e, f))),
        (2, 2, 1, 2, 1, 0),
    ),
    "avg_pool2d": (
        lambda a, b, c, d, e, f: backward(F.avg_pool2d(ones(1, 6, 7, 2), (a, b), (c, d), (e, f))),
        (2, 2, 1, 2, 1, 0),
    ),
    "upsample": (lambda a, b: backward(F.upsample_nearest2d(ones(1, 3, 2, 2), (a, b))), (2, 3)),
    "upsample empty": (lambda a, b: F.upsample_nearest2d(ones(0, 3, 2, 2), (a, b)), (2, 3)),
    "uniform": (lambda a, b: vq.Generator(0).uniform((a, b)), (2, 3)),
    "normal": (lambda a, b, c: vq.Generator(0).normal((a, b, c)), (2, 3, 0)),
    "integers": (lambda a, b, c: vq.Generator(0).integers((a, b), c), (2, 3, 4)),
    "permutation": (lambda a: vq.Generator(0).permutation(a), (4,)),
    "generator": (lambda a, b: vq.Generator(a, b).uniform((3,)), (0, 1)),
    "threads": (lambda a: vq.set_threads(a) if a > 4096 or a < 1 else None, (2,)),
    "Linear": (lambda a, b: use(nn.Linear(a, b), ones(2, 4)), (4, 3)),
    "Conv2d": (
        lambda a, b, c, d, e, f, g, h: use(
            nn.Conv2d(a, b, (c, d), (e, f), (g, h)), ones(1, 5, 6, 2)
        ),
        (2, 3, 3, 2, 1, 2, 1, 0),
    ),
    "ConvTranspose2d": (
        lambda a, b, c, d, e, f, g, h: use(
            nn.ConvTranspose2d(a, b, (c, d), (e, f), (g, h)), ones(1, 5, 6, 2)
        ),
        (2, 3, 3, 2, 1, 2, 1, 0),
    ),
    "ConvTranspose2d output": (
        lambda a, b: use(nn.ConvTranspose2d(2, 3, 3, 2, output_padding=(a, b)), ones(1, 5, 6, 2)),
        (1, 0),
    ),
    "BatchNorm": (lambda a: use(nn.BatchNorm(a), ones(3, 4)), (4,)),
    "LayerNorm": (lambda a: use(nn.LayerNorm(a), ones(3, 4)), (4,)),
    "Embedding": (lambda a, b: use(nn.Embedding(a, b), codes(3)), (5, 4)),
    "MaxPool2d": (
        lambda a, b, c: use(nn.MaxPool2d(a, b, c), ones(1, 6, 7, 2)),
        (2, 2, 1),
    ),
    "AvgPool2d": (
        lambda a, b, c: use(nn.AvgPool2d(a, b, c), ones(1, 6, 7, 2)),
        (2, 2, 1),
    ),
    "Upsample": (lambda a, b: use(nn.Upsample((a, b)), ones(1, 3, 2, 2)), (2, 3)),
    "SQVAE": (
        lambda a, b, c: models.SQVAE(vq.VectorQuant(8, 4), image_size=a, channels=b, width=c)(
            ones(1, 28, 28, 1)
        ),
        (28, 1, 8),
    ),
    "ResNet50": (lambda a, b: models.ResNet50(a, channels=b, small_images=True), (10, 3)),
    "VectorQuant": (quantize(vq.VectorQuant), (4, 8)),
    "VectorQuant code_size": (option("code_size"), (3,)),
    "VectorQuant affine_groups": (option("affine_groups", affine_lr=1.0), (2,)),
    "VectorQuant replace_freq": (option("replace_freq"), (2,)),
    "VectorQuant kmeans_freq": (option("kmeans_freq", kmeans_init=True), (2,)),
    "VectorQuant norm_groups": (option("norm_groups", norm="gn", cb_norm="gn"), (2,)),
    "VectorQuant inner_steps": (
        option("inner_steps", inplace_optimizer=lambda p: optim.SGD(p, lr=0.1)),
        (2,),
    ),
    "VectorQuant outer_steps": (
        option("outer_steps", inplace_optimizer=lambda p: optim.SGD(p, lr=0.1)),
        (2,),
    ),
    "VectorQuant EMA": (quantize(lambda a, b: vq.VectorQuant(a, b, ema_decay=0.9)), (4, 8)),
    "VectorQuant SimVQ": (quantize(lambda a, b: vq.VectorQuant(a, b, simvq=True)), (4, 8)),
    "VectorQuant affine": (
        quantize(lambda a, b, c: vq.VectorQuant(a, b, affine="ema", affine_groups=c)),
        (4, 8, 2),
    ),
    "VectorQuant seed": (option("seed"), (3,)),
    "VectorQuant dim": (lambda a: vq.VectorQuant(4, 8, dim=a)(ones(2, 4, 3)), (1,)),
    "VectorQuant fit": (
        lambda a: vq.VectorQuant(4, 8).fit(X, iterations=a if a < 100 or a > 2**40 else 1),
        (2,),
    ),
    "GroupVectorQuant": (quantize(lambda a, b, c: vq.GroupVectorQuant(a, b, groups=c)), (4, 8, 2)),
    "ResidualVectorQuant": (
        quantize(lambda a, b, c: vq.ResidualVectorQuant(a, b, stages=c)),
        (4, 8, 2),
    ),
    "residual stages": (
        lambda a: vq.ResidualVectorQuant(4, 8, stages=3).encode(X, stages=a),
        (2,),
    ),
    "FSQ": (quantize(lambda *levels: vq.FSQ(levels)), (3, 4, 2, 5)),
    "LFQ": (quantize(vq.LFQ), (4,)),
    "GumbelQuant": (quantize(lambda a, b, c: vq.GumbelQuant(a, b, code_size=c)), (4, 8, 3)),
    "SQVAEQuant": (quantize(vq.SQVAEQuant), (4, 8)),
    "kmeans": (
        lambda a, b: vq.kmeans(X, a, b if b < 100 or b > 2**40 else 1),
        (3, 2),
    ),
    "kmeans random": (lambda a, b: vq.kmeans(X, a, 1, init="random", seed=b), (3, 2)),
    "topk": (lambda a: vq.nearest_codes(X, X[:5], topk=a), (3,)),
    "CodeUsage": (lambda a: metrics.CodeUsage(a).update(codes(3)) if a < 2**20 else None, (4,)),
    "perplexity": (lambda a: metrics.perplexity(codes(3), a if a < 2**20 else a * 2**40), (4,)),
    "ssim": (lambda a: metrics.ssim(ones(1, 13, 12, 2), ones(1, 13, 12, 2), window=a), (11,)),
    "activation_probability": (
        lambda a, b, c, d, e, f: metrics.activation_probability(
            a, batch_size=b, height=c, width=d, pool_layers=e, at_least=f
        ),
        (8, 4, 6, 6, 1, 1),
    ),
    "WeightQuantizer": (lambda a: use(estimators.WeightQuantizer(a, 1.0), ones(3, 4)), (4,)),
    "LSQ": (lambda a: use(estimators.LSQ(a), ones(3, 4)), (4,)),
    "LSQPlus": (lambda a: use(estimators.LSQPlus(a), ones(3, 4)), (4,)),
    "PACT": (lambda a: use(estimators.PACT(a), ones(3, 4)), (4,)),
    "step_schedule": (lambda a, b, c: optim.step_schedule(a, 0.1, b)(c), (3, 2, 5)),
    "cosine_schedule": (lambda a, b, c: optim.cosine_schedule(a, 0.0, b)(c), (9, 2, 5)),
    "constant_schedule": (lambda a, b: optim.constant_schedule(a)(b), (2, 5)),
    "exponential_schedule": (lambda a, b: optim.exponential_schedule(0.9, a)(b), (2, 5)),
    "multistep_schedule": (
        lambda a, b, c, d: optim.multistep_schedule([a, b], 0.1, c)(d),
        (2, 3, 2, 5),
    ),
    "one_cycle_schedule": (
        lambda a, b: optim.one_cycle_schedule(a, three_phase=True)(b),
        (9, 5),
    ),
}
NAMES = list(CALLS)


def case(number: int) -> None:
    draw = random.Random(number)
    # Every extreme in every place alone first, then several at a time.
    name = NAMES[number % len(NAMES)]
    call, sizes = CALLS[name]
    changed = list(sizes)
    turn = number // len(NAMES)
    if turn < len(EXTREMES) * len(sizes):
        changed[turn % len(sizes)] = EXTREMES[turn // len(sizes)]
    else:
        for place in draw.sample(range(len(sizes)), draw.randint(1, len(sizes))):
            changed[place] = draw.choice(EXTREMES)
    try:
        call(*changed)
    except REFUSALS:
        pass
    except Exception as error:
        raise AssertionError(f"{name}{tuple(changed)}") from error


if __name__ == "__main__":
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), resource.RLIM_INFINITY))
    vq.set_threads(1)
    _campaign.main(__file__, case, full=400_000, short=1_000, batch=1000, seconds_per_case=120)
