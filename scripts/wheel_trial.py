"""What `try-wheel` runs in a bare environment: the wheel's own libraries are loaded and compute.

Each result has a witness: NumPy in Float64, or the file system. Prints one line; an assertion that
fails ends it.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SYSTEM = ("libopenblas.so.0", "libdnnl.so.2", "libgomp.so.1", "libgfortran.so.5")
BUNDLED = ("libopenblas", "libdnnl", "libgomp", "libgfortran")


def require_absent_libraries() -> None:
    """Nothing of the system can stand in for what the wheel lacks."""
    for name in SYSTEM:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        sys.exit(
            f"wheel_trial: the system's {name} can be loaded, so that this would prove nothing"
        )


def require_own_libraries(package: Path) -> list[str]:
    """Names of the bundled libraries, each of which is loaded; none is loaded from the system."""
    mapped = {Path(p) for p in re.findall(r"/\S+\.so[\w.]*", Path("/proc/self/maps").read_text())}
    folder = package.parent / "vqswift.libs"
    # NumPy brings some of the same for itself.
    allowed = (folder, Path(np.__file__).parents[1] / "numpy.libs")
    loaded = []
    for stem in BUNDLED:
        found = [path for path in mapped if re.match(rf"{stem}[\d_]*[-.p]", path.name)]
        assert all(path.parent in allowed for path in found), found
        (own,) = [path.name for path in found if path.parent == folder]
        loaded.append(own)
    assert set(loaded) <= {path.name for path in folder.iterdir()}
    return loaded


def check_arithmetic(vq) -> None:  # type: ignore[no-untyped-def]
    """A product (OpenBLAS), a convolution (oneDNN), LAPACK, a search, k-means, a training step."""
    rng = np.random.default_rng(0)
    vq.manual_seed(0)
    a, b = rng.normal(size=(2, 300, 300)).astype(np.float32)
    wide = [x.astype(np.float64) for x in (a, b)]
    product = (vq.Tensor(a) @ vq.Tensor(b)).numpy()
    assert np.abs(product - wide[0] @ wide[1]).max() < 300 * 2**-23 * 16

    image = rng.normal(size=(2, 9, 9, 5)).astype(np.float32)
    layer = vq.nn.Conv2d(5, 7, 3, stride=2)
    weight = layer.weight.numpy().astype(np.float64)  # [7, 5, 3, 3]
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (3, 3), (1, 2))
    wanted = np.einsum("nhwcij,ocij->nhwo", windows[:, ::2, ::2], weight) + layer.bias.numpy()
    assert np.abs(layer(image).numpy() - wanted).max() < 1e-5

    codes = vq.nearest_codes(a, b)
    distances = np.square(wide[0][:, None] - wide[1]).sum(-1)
    assert (codes == distances.argmin(1)).all()
    found = vq.kmeans(a, 8, iterations=5, seed=0)
    inertia = np.square(wide[0] - found.centroids[found.codes]).sum()
    assert abs(found.inertia - inertia) < 1e-5 * inertia

    model = vq.models.SQVAE(vq.VectorQuant(8, 16, kmeans_init=True, seed=0), width=8)
    optimizer = vq.optim.AdamW(model.parameters(), lr=3e-3)
    images = rng.random((8, 32, 32, 3)).astype(np.float32)
    losses = []
    for _ in range(6):
        reconstruction, info = model(images)
        loss = vq.nn.functional.mse_loss(reconstruction, images) + info.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0], losses
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        again = vq.models.SQVAE.from_pretrained(folder)
    assert (again.encode(images).numpy() == model.eval().encode(images).numpy()).all()


def check_torch() -> None:
    """Layers of `vqswift.torch`: codes of the nearest vectors, gradients, a training step."""
    import torch
    import vqswift.torch as vqt

    torch.manual_seed(0)
    layer = vqt.VectorQuant(16, 64, dim=1, sync_nu=0.5, seed=0)
    z = torch.randn(4, 16, 5, 5, requires_grad=True)
    z_q, info = layer(z)
    vectors = z.detach().movedim(1, -1).double()
    distances = (vectors[..., None, :] - layer.codebook.detach().double()).square().sum(-1)
    assert torch.equal(info.q, distances.argmin(-1))
    pull = torch.randn_like(z)
    (z_q * pull).sum().backward()
    assert torch.equal(z.grad, pull)
    counted = torch.zeros_like(layer.codebook)
    counted.index_add_(0, info.q.flatten(), 0.5 * pull.movedim(1, -1).reshape(-1, 16))
    torch.testing.assert_close(layer.codebook.grad, counted)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    before = layer(z)[1].loss.item()
    for _ in range(5):
        optimizer.zero_grad()
        layer(z)[1].loss.backward()
        optimizer.step()
    assert layer(z)[1].loss.item() < before
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")


def check_settings(vq, kernels: str | None, emulator: list[str]) -> None:  # type: ignore[no-untyped-def]
    """Threads, kernels and the report follow what is asked for."""
    vq.set_threads(1)
    assert vq.get_threads() == 1
    report = vq.libraries()
    assert re.search(r"oneDNN \d+\.\d+\.\d+, OpenBLAS \d+\.\d+\.\d+ .*kernels \w+$", report), report
    assert kernels is None or report.endswith(f"kernels {kernels}"), report
    variables = {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_CORETYPE": "Nehalem",
        "VQSWIFT_INSTRUCTIONS": "portable",
    }
    program = "import vqswift as vq; print(vq.get_threads(), vq.libraries())"
    told = child(emulator, program, **variables)
    assert re.fullmatch(r"1 oneDNN .*\bNehalem\b.* kernels portable", told), told
    # The bundled OpenBLAS obeys its variable, and the core still uses the threads that it is given.
    program = "import os, numpy; threads = lambda: len(os.listdir('/proc/self/task')); "
    program += "before = threads(); import vqswift as vq; "
    program += "print(threads() - before, vq.get_threads())"
    for count in (1, min(2, len(os.sched_getaffinity(0)))):
        asked = {"OPENBLAS_NUM_THREADS": str(count), "OMP_NUM_THREADS": "2"}
        assert child(emulator, program, **asked) == f"{count - 1} 2"


def check_processes(vq) -> None:  # type: ignore[no-untyped-def]
    """A forked child computes."""
    pid = os.fork()
    if pid == 0:
        right = np.allclose((vq.ones((64, 64)) @ vq.ones((64, 64))).numpy(), 64)
        os._exit(0 if right else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def check_licenses() -> int:
    """How many license texts the wheel has; each bundled library is named by them."""
    files = importlib.metadata.files("vqswift") or []
    texts = [f for f in files if ".dist-info/licenses/" in str(f) or f.name == "LICENSE"]
    (overview,) = [f for f in texts if f.name == "README.txt"]
    told = overview.read_text()
    libraries = [f.name for f in files if f.parts[0] == "vqswift.libs"]
    assert libraries and all(name in told for name in libraries)
    for path in re.findall(r": (\S+)$", told, re.M):
        assert (Path(str(overview.locate())).parent / path).stat().st_size > 500, path
    return len(texts) - 1


def child(emulator: list[str], program: str, **variables: str) -> str:
    """What a fresh interpreter prints; under the emulator where this runs under it."""
    done = subprocess.run(
        [*emulator, sys.executable, "-c", program],
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kernels", help="the instruction set that the report must name")
    parser.add_argument("--emulator", default="", help="the command that this runs under")
    parser.add_argument("--torch", action="store_true", help="try vqswift.torch alone")
    options = parser.parse_args()
    require_absent_libraries()
    if options.torch:
        check_torch()
        return
    import vqswift as vq

    loaded = require_own_libraries(Path(vq.__file__).parent)
    check_arithmetic(vq)
    check_settings(vq, options.kernels, options.emulator.split())
    check_processes(vq)
    texts = check_licenses()
    print(f"CPython {platform.python_version()}, NumPy {np.__version__}: {vq.libraries()}")
    print(f"  {', '.join(loaded)}; {texts} license texts")


if __name__ == "__main__":
    main()
