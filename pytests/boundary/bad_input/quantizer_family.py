"""FSQ, LFQ, Gumbel and Gaussian quantizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vqswift as vq

from .case import INF, NAN, Case, ones


def lfq(bits: Any = 4, **options: Any) -> Callable[[], object]:
    return lambda: vq.LFQ(bits, **options)


def gumbel(*sizes: Any, **options: Any) -> Callable[[], object]:
    return lambda: vq.GumbelQuant(*(sizes or (4, 8)), **options)


def gaussian(*sizes: Any, **options: Any) -> Callable[[], object]:
    return lambda: vq.SQVAEQuant(*(sizes or (4, 8)), **options)


QUANTIZER_FAMILY: dict[str, Case] = {
    "no levels": (lambda: vq.FSQ([]), ValueError, ["fsq", "levels = []", "at least one"]),
    "one level": (lambda: vq.FSQ([3, 1]), ValueError, ["fsq", "[3, 1]", "2...4194304"]),
    "negative level": (lambda: vq.FSQ([-3]), ValueError, ["fsq", "[-3]", "2...4194304"]),
    "enormous level": (lambda: vq.FSQ([1 << 62]), ValueError, ["fsq", "2...4194304"]),
    "level beyond words": (lambda: vq.FSQ([1 << 80]), OverflowError, ["int"]),
    "product of levels": (lambda: vq.FSQ([65536, 32768]), ValueError, ["fsq", "int32"]),
    "many levels": (lambda: vq.FSQ([2] * 40), ValueError, ["fsq", "product", "int32"]),
    "fractional level": (lambda: vq.FSQ([2.5]), TypeError, ["levels = [2.5]", "integers"]),  # type: ignore[list-item]
    "channels of fsq": (
        lambda: vq.FSQ([3, 3])(ones(2, 3)),
        ValueError,
        ["fsq", "[2, 3]", "feature_size = 2"],
    ),
    "nan in fsq": (lambda: vq.FSQ([3])([[NAN]]), ValueError, ["fsq", "z holds nan", "finite"]),
    "code of fsq": (lambda: vq.FSQ([3, 3]).decode([9]), IndexError, ["fsq.decode", "9", "0..<9"]),
    "no bits": (lfq(0), ValueError, ["lfq", "bits = 0", "1...30"]),
    "many bits": (lfq(31, entropy_weight=0.0), ValueError, ["lfq", "bits = 31", "1...30"]),
    "entropy of many bits": (lfq(21), ValueError, ["lfq", "bits = 21", "2^20", "diversity"]),
    "commitment weight": (lfq(commitment_weight=-1.0), ValueError, ["commitment_weight = -1.0"]),
    "entropy weight": (lfq(entropy_weight=NAN), ValueError, ["lfq", "entropy_weight = nan"]),
    "diversity": (lfq(diversity=INF), ValueError, ["lfq", "diversity = inf"]),
    "temperature of lfq": (lfq(temperature=0.0), ValueError, ["lfq", "temperature = 0.0"]),
    "codes of gumbel": (gumbel(4, 0), ValueError, ["gumbel_quant", "num_codes = 0"]),
    "width of gumbel": (gumbel(0, 4), ValueError, ["gumbel_quant", "feature_size = 0"]),
    "code size": (gumbel(code_size=-1), ValueError, ["gumbel_quant", "code_size = -1"]),
    "no code size": (gumbel(code_size=0), ValueError, ["gumbel_quant", "code_size = 0"]),
    "sizes of gumbel": (gumbel(1 << 40, 4), OverflowError, ["gumbel_quant", "1099511627776"]),
    "temperature": (gumbel(temperature=0.0), ValueError, ["gumbel_quant", "temperature = 0.0"]),
    "temperature nan": (gumbel(temperature=NAN), ValueError, ["temperature = nan"]),
    "decay": (gumbel(temperature_decay=1.5), ValueError, ["temperature_decay = 1.5", "at most 1"]),
    "minimum": (gumbel(temperature_min=2.0), ValueError, ["temperature_min = 2.0", "0...1.0"]),
    "kl weight": (gumbel(kl_weight=-1.0), ValueError, ["gumbel_quant", "kl_weight = -1.0"]),
    "seed of gumbel": (gumbel(seed=-1), ValueError, ["gumbel_quant", "seed = -1"]),
    "empty gumbel": (lambda: vq.GumbelQuant(4, 8)(ones(0, 4)), ValueError, ["[0, 4]", "one"]),
    "dtype of gumbel": (
        lambda: vq.GumbelQuant(1, 8)([[2**24 + 1]]),
        ValueError,
        ["gumbel_quant", "int64", "16777217"],
    ),
    "narrow codes passing through": (
        lambda: narrow_codes_passing_through(),
        RuntimeError,
        ["gumbel_quant", "4 elements", "codes of 2"],
    ),
    "kind": (gaussian(kind="V"), ValueError, ["sqvae_quant", "kind = 'V'", "IV"]),
    "codes of gaussian": (gaussian(4, -8), ValueError, ["sqvae_quant", "num_codes = -8"]),
    "decay of gaussian": (gaussian(temperature_decay=0.0), ValueError, ["temperature_decay = 0.0"]),
    "seed of gaussian": (gaussian(seed=1 << 64), ValueError, ["sqvae_quant", "2**64-1"]),
    "missing logvar": (
        lambda: vq.SQVAEQuant(4, 8, kind="III")(ones(2, 4)),
        ValueError,
        ["sqvae_quant", "logvar = none", "type III"],
    ),
    "missing logvar in encode": (
        lambda: vq.SQVAEQuant(4, 8, kind="IV").encode(ones(2, 4)),
        ValueError,
        ["sqvae_quant", "logvar = none", "type IV"],
    ),
    "logvar for type I": (
        lambda: vq.SQVAEQuant(4, 8)(ones(2, 4), ones(2, 4)),
        ValueError,
        ["sqvae_quant", "logvar = [2, 4]", "type I"],
    ),
    "shape of logvar": (
        lambda: vq.SQVAEQuant(4, 8, kind="II")(ones(2, 4), ones(2, 1)),
        ValueError,
        ["sqvae_quant", "[2, 1]", "[2, 4]", "z's shape"],
    ),
    "nan in logvar": (
        lambda: vq.SQVAEQuant(1, 8, kind="IV")([[1.0]], [[NAN]]),
        ValueError,
        ["sqvae_quant", "logvar holds nan"],
    ),
    "shapes of a reconstruction": (
        lambda: vq.SQVAEQuant.reconstruction_loss(ones(2, 3), ones(2, 4)),
        ValueError,
        ["reconstruction_loss", "[2, 3]", "[2, 4]", "equal"],
    ),
    "no images": (
        lambda: vq.SQVAEQuant.reconstruction_loss(ones(0, 3), ones(0, 3)),
        ValueError,
        ["reconstruction_loss", "[0, 3]"],
    ),
}


def narrow_codes_passing_through() -> object:
    layer = vq.GumbelQuant(4, 8, code_size=2)
    with vq.no_quantization(layer):
        return layer(ones(3, 4))
