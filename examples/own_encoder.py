# python examples/own_encoder.py
"""An encoder and a loop of your own: sequences of different lengths, a mask and a checkpoint."""

import tempfile
from pathlib import Path

import numpy as np
import vqswift as vq

rng = np.random.default_rng(0)
batch, time, features, width = 64, 24, 12, 16


def sequences() -> tuple[np.ndarray, np.ndarray]:
    """Noisy oscillations [batch, time, features], zeros after their length, and the lengths."""
    lengths = rng.integers(time // 2, time + 1, batch)
    phase = rng.uniform(0, 2 * np.pi, (batch, 1, 1)) + 0.5 * np.arange(time)[:, None]
    x = np.sin(phase * rng.integers(1, 3, (batch, 1, 1)) + np.arange(features))
    x += 0.05 * rng.normal(size=x.shape)
    return (x * (np.arange(time) < lengths[:, None])[..., None]).astype(np.float32), lengths


class Codec(vq.nn.Module):
    """Layers that are attributes are found; only `forward` is called."""

    def __init__(self) -> None:
        super().__init__()
        nn = vq.nn
        self.encoder = nn.Sequential(nn.Linear(features, 64), nn.GELU(), nn.Linear(64, width))
        self.quantizer = vq.ResidualVectorQuant(width, 32, stages=2, init="kmeans", ema_decay=0.95)
        self.decoder = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, features))

    def forward(self, x: vq.Tensor, lengths: np.ndarray) -> tuple[vq.Tensor, vq.QuantizerInfo]:
        z_q, info = self.quantizer(self.encoder(x), lengths=lengths)
        return self.decoder(z_q), info


vq.manual_seed(0)
model = Codec()
optimizer = vq.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
schedule = vq.optim.cosine_schedule(300, warmup_steps=20)
for step in range(300):
    optimizer.scale_lr(schedule(step))
    values, lengths = sequences()
    x = vq.Tensor(values)
    inside = vq.Tensor(np.arange(time) < lengths[:, None]).reshape(batch, time, 1)
    output, info = model(x, lengths)
    error = ((output - x) * inside).abs().sum() / (lengths.sum() * features)
    optimizer.zero_grad()
    (error + info.loss).backward()
    vq.optim.clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()
    if step % 60 == 59:
        print(f"step {step + 1}: L1 {error.item():.3f}, perplexity {info.perplexity:.1f} of 32")

model.eval()
values, lengths = sequences()
expected = model(vq.Tensor(values), lengths)[0].numpy()
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "codec.safetensors"
    vq.save(path, model.state_dict(), {"steps": "300"})
    state, metadata = vq.load(path)
other = Codec().eval()
other.load_state_dict(state)
same = np.array_equal(other(vq.Tensor(values), lengths)[0].numpy(), expected)
print(f"saved after {metadata['steps']} steps and loaded: the same bits: {same}")
