"""Lookup-free quantization."""

from __future__ import annotations

from .._arguments import checked
from .._options import create
from ._base import Quantizer


@checked
class LFQ(Quantizer):
    """Lookup-free quantization: each element of a vector becomes its sign, a bit of the code.

    Yu et al., "Language Model Beats Diffusion: Tokenizer Is Key to Visual Generation", 2023. z is
    [..., bits]; the output is +1 where z > 0 and -1 elsewhere, and the first element is the
    highest bit. Gradients pass straight through. `info.loss`, in training and evaluation, is

        commitment_weight mse(z, sg z_q)
        + entropy_weight (mean_i H(p_i) - diversity H(mean_i p_i))

    in nats, p_i the softmax over all sign vectors c of `2 z_i . c / temperature`; it is computed
    from the bits, without a table [vectors, 2^bits]. The parts are `info.commitment_loss` and
    `info.regularization`. The defaults are those of vector-quantize-pytorch (whose
    `inv_temperature` is 1 / temperature). There are no parameters.

    Args:
        bits: 1 to 30; to 20 with the entropy of the mean, which has 2^bits probabilities.
        commitment_weight, entropy_weight, diversity: weights of the loss, 0 for off.
        temperature: of the entropy loss.
        dim: channel axis of z; 1 for channels-first.
    """

    _operation = "lfq"

    def __init__(
        self,
        bits: int,
        *,
        commitment_weight: float = 0.0,
        entropy_weight: float = 0.1,
        diversity: float = 1.0,
        temperature: float = 0.01,
        dim: int = -1,
    ) -> None:
        super().__init__(
            create(
                "lfq",
                bits=bits,
                commitment_weight=commitment_weight,
                entropy_weight=entropy_weight,
                diversity=diversity,
                temperature=temperature,
            ),
            dim,
        )
