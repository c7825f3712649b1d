"""Every instruction set gives the same codes and random numbers, and none leaks into the others."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import vqswift as vq
from conftest import ROOT

SETS = ("portable", "avx2", "avx512", "avx512vnni", "avx512bf16")
OBJECTS = ROOT / "build/swift/release"

PROGRAM = """
import json, hashlib, numpy as np, vqswift as vq
random = np.random.default_rng(0)
found = {"libraries": vq.libraries()}
for n, k, d in ((999, 300, 24), (500, 1000, 7), (2000, 50, 64)):
    for offset in (0, 1000):
        x = (random.standard_normal((n, d)) + offset).astype("float32")
        codebook = (random.standard_normal((k, d)) + offset).astype("float32")
        codes = vq.nearest_codes(x, codebook)
        result = vq.kmeans(x, 9, iterations=5, seed=3)
        found[f"{n} {k} {d} {offset}"] = hashlib.sha256(
            codes.tobytes() + result.codes.tobytes() + result.centroids.tobytes()
        ).hexdigest()
generator = vq.Generator(3)
layer = vq.GumbelQuant(8, 50, seed=1).train()
for n in (1, 15, 33, 1000, 5001):
    _, info = layer(np.ones((n, 8), "float32"))
    drawn = [generator.normal((n,)), generator.uniform((n,)), info.q]
    found[f"{n} draws"] = hashlib.sha256(b"".join(x.numpy().tobytes() for x in drawn)).hexdigest()
print(json.dumps(found))
"""


def run_with(instruction_set: str, screen: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"VQSWIFT_INSTRUCTIONS": instruction_set, "VQSWIFT_SCREEN": screen},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_every_set_gives_the_same_codes_centroids_and_random_numbers() -> None:
    answers = {name: json.loads(run_with(name).stdout) for name in SETS}
    used = {name: answer.pop("libraries").split("kernels ")[1] for name, answer in answers.items()}
    best = used["avx512bf16"]
    for name in SETS:
        lower = SETS.index(name) <= SETS.index(best)
        assert used[name] == (name if lower else best)
        assert answers[name] == answers["portable"]


def test_a_screen_in_float32_gives_the_same_codes() -> None:
    assert run_with("", screen="float32").stdout == run_with("").stdout


def test_an_empty_variable_is_none() -> None:
    assert run_with("").stdout == run_with("avx512bf16").stdout


def test_an_unknown_set_is_refused() -> None:
    failed = run_with("sse9")
    assert failed.returncode != 0
    assert (
        "VQSWIFT_INSTRUCTIONS = 'sse9': must be one of portable, avx2, avx512, "
        "avx512vnni, avx512bf16" in failed.stderr
    )


def test_code_shared_with_other_targets_uses_the_common_instructions() -> None:
    """Of equal weak functions the linker keeps one, perhaps that of a target with wide vectors."""
    targets = [OBJECTS / f"VQTiles{name}.build" for name in ("AVX2", "AVX512", "VNNI", "BF16")]
    if not all(target.is_dir() for target in targets):
        pytest.skip("the objects of the build are not at hand")
    for target in targets:
        for path in target.glob("*.o"):
            listed = subprocess.run(
                ["nm", str(path)], check=True, capture_output=True, text=True
            ).stdout
            weak = re.findall(r" [WwuVv] (.+)", listed)
            # Metadata, which is no code: its version, and names of types.
            foreign = [
                name
                for name in weak
                if target.stem not in name
                and name != "__swift_reflection_version"
                and not name.startswith("symbolic ")
            ]
            assert foreign == [], path


def test_far_from_the_origin_no_code_flips() -> None:
    random = np.random.default_rng(1)
    x = (random.standard_normal((400, 64)) + 1000).astype(np.float32)
    codebook = (random.standard_normal((512, 64)) + 1000).astype(np.float32)
    difference = x[:, None].astype(float) - codebook
    np.testing.assert_array_equal(
        vq.nearest_codes(x, codebook), (difference**2).sum(axis=2).argmin(axis=1)
    )


def test_a_codebook_changed_in_place_is_packed_again() -> None:
    """The packed codes are kept with the codebook until an update writes to it."""
    vq.manual_seed(0)
    layer = vq.VectorQuant(16, 32)
    z = vq.Generator(1).normal((200, 16))
    layer.eval()
    before = layer.encode(z)
    state = layer.state_dict()
    name = next(key for key in state if key.endswith("codebook"))
    state[name] = np.roll(state[name], 1, axis=0)
    layer.load_state_dict(state)
    np.testing.assert_array_equal(layer.encode(z).numpy(), (before.numpy() + 1) % 32)
