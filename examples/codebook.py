# python examples/codebook.py
"""Codebooks of a NumPy array: k-means, exact nearest codes, residual codes, and a layer."""

import numpy as np
import vqswift as vq

# 20,000 vectors of 16 numbers, which lie near a plane of 4 dimensions in 40 clusters.
rng = np.random.default_rng(0)
centers = rng.normal(size=(40, 4))
latent = centers[rng.integers(40, size=20_000)] + 0.3 * rng.normal(size=(20_000, 4))
x = (latent @ rng.normal(size=(4, 16)) + 0.1 * rng.normal(size=(20_000, 16))).astype(np.float32)
training, test = x[:16_000], x[16_000:]


def report(name: str, bits: float, decoded: np.ndarray) -> None:
    error = np.square(test - decoded).mean() / test.var()
    print(f"{name:34} {bits:5.1f} bits a vector, {100 * error:6.2f}% of the variance is lost")


# A codebook is an array of centroids; the nearest code is the arg-min in Float64.
found = vq.kmeans(training, 256, iterations=25, seed=0)
codes, distances = vq.nearest_codes(test, found.centroids, return_distances=True)
assert np.isclose(distances.mean() / 16, np.square(test - found.centroids[codes]).mean())
chosen = training[rng.permutation(len(training))[:256]]
report("256 vectors, chosen by chance", 8, chosen[vq.nearest_codes(test, chosen)])
report("256 centroids of k-means", 8, found.centroids[codes])

# A layer that begins with that codebook gives the same codes.
layer = vq.VectorQuant(16, 256).eval()
layer.codebook.assign(found.centroids)
assert np.array_equal(layer.encode(test).numpy(), codes)

# Stages of small codebooks, each on what the stages before leave.
residual = vq.ResidualVectorQuant(16, 256, stages=4, seed=0)
residual.fit(training, iterations=25)
residual.eval()
for stages in range(2, 5):
    decoded = residual.decode(residual.encode(test, stages=stages)).numpy()
    report(f"256 codes in each of {stages} stages", 8 * stages, decoded)
