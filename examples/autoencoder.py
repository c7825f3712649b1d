# python examples/autoencoder.py
"""An autoencoder of images that passes 49 codes: the network, quantizer and loop of the package."""

import numpy as np
import vqswift as vq
from sklearn.datasets import load_digits

# 8x8 digits, each pixel three times as wide and high, in a margin: uint8 [n, 28, 28, 1].
digits = (load_digits().images * (255 / 16)).round().astype(np.uint8)
images = np.pad(digits.repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2)))[..., None]
training, test = images[:1500], images[1500:]

vq.manual_seed(0)
quantizer = vq.VectorQuant(
    32,
    64,
    kmeans_init=True,
    affine_lr=1.0,  # an affine map moves all codes
    sync_nu=2.0,  # the codebook follows the decoder
    replace_freq=20,  # a code that nothing uses becomes a vector of the batch
)
model = vq.models.SQVAE(quantizer, image_size=28, channels=1, width=32)
steps = 200
trainer = vq.train.Trainer(
    model,
    vq.optim.AdamW(model.parameters(), lr=3e-3),
    vq.data.Batches(training, batch_size=64, seed=0),
    schedule=vq.optim.cosine_schedule(steps),
)
for metrics in trainer.steps(steps):
    if metrics.step % 50 == 0:
        print(f"step {metrics.step}: mse {metrics.mse:.4f}, perplexity {metrics.perplexity:.1f}")

found = vq.train.evaluate(model, test)
print(f"{len(test)} other digits: {found.psnr:.1f} dB, {found.active_codes} of 64 codes in use")

model.eval()
codes = model.encode(vq.data.unit_range(test[:1]))  # int32 [1, 7, 7]
decoded = model.decode(codes).numpy()[0, 2:26:3, 2:26:3, 0]
print("A digit, its codes and what they decode to:")
for row in range(8):
    original = "".join(" .:*#"[v // 52] for v in test[0, 2 + 3 * row, 2:26:3, 0])
    middle = " ".join(f"{code:2}" for code in codes.numpy()[0, row]) if row < 7 else " " * 20
    print(f"  {original}   {middle}   {''.join(' .:*#'[int(v * 4.9)] for v in decoded[row])}")
