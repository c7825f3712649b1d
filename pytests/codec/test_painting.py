"""`vqswift sample` and `inpaint`, and what they call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import __main__ as command
from vqswift import codec

Image: Any = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

LENGTH = 6  # a map of 2 x 3


def networks() -> tuple[vq.models.MaskGIT, vq.models.SQVAE]:
    vq.manual_seed(3)
    tokenizer = vq.models.SQVAE(vq.FSQ([4, 4]), width=2, image_size=28)
    transformer = vq.models.MaskGIT(16, LENGTH, classes=2, width=8, depth=1, heads=2, hidden=8)
    return transformer, tokenizer


def pictures(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            found[path.name] = np.asarray(image)
    return found


def photos(folder: Path, *sizes: tuple[int, int]) -> dict[str, np.ndarray]:
    folder.mkdir()
    for index, size in enumerate(sizes):
        pixels = np.random.default_rng(index).integers(256, size=(*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return pictures(folder)


@pytest.mark.parametrize("name", ["generator", "codes", "labels", "count_of"])
def test_options_that_are_none_are_named(tmp_path: Path, name: str) -> None:
    transformer, tokenizer = networks()
    with pytest.raises(TypeError, match=rf"\[sample\] {name} is no option: those of"):
        codec.sample_files(transformer, tokenizer, tmp_path, 1, map_shape=(2, 3), **{name: 1})
    with pytest.raises(ValueError, match=r"map_shape = \(1, 2, 3\)"):
        codec.sample_files(transformer, tokenizer, tmp_path, 1, map_shape=(1, 2, 3))


def test_samples_are_the_decoded_codes_of_the_generator(tmp_path: Path) -> None:
    transformer, tokenizer = networks()
    codec.sample_files(
        transformer,
        tokenizer,
        tmp_path,
        5,
        label=1,
        map_shape=(2, 3),
        batch_size=2,
        seed=4,
        steps=3,
    )
    source, codes = vq.Generator(4), []
    for count in (2, 2, 1):
        made = vq.models.generate(
            transformer, labels=[1] * count, steps=3, batch_size=2, generator=source
        )
        codes += [*made.numpy().reshape(count, 2, 3)]
    with vq.no_grad():
        images = tokenizer.eval().decode(np.stack(codes)).numpy()
    expected = np.rint(images.clip(0, 1) * 255).astype(np.uint8)
    found = pictures(tmp_path)
    assert list(found) == [f"{index:04d}.png" for index in range(5)]
    # A float at the edge of two bytes may be rounded either way in another batch.
    assert np.abs(np.stack([*found.values()]).astype(int) - expected).max() <= 1
    whole = codec.sample_files(
        transformer, tokenizer, tmp_path / "whole", 5, label=1, map_shape=(2, 3), seed=4, steps=3
    )
    assert whole.written == 5 and whole.bits_per_pixel == 4 / 16
    again = np.stack([*pictures(tmp_path / "whole").values()]).astype(int)
    assert np.abs(again - expected).max() <= 1


@pytest.mark.parametrize("order", ["confidence", "halton"])
def test_a_box_alone_is_painted(tmp_path: Path, order: str) -> None:
    transformer, tokenizer = networks()
    before = photos(tmp_path / "photos", (8, 12), (8, 12), (7, 11))
    codec.inpaint_files(
        transformer, tokenizer, tmp_path / "photos", tmp_path / "out", (1, 5, 4, 4), order=order
    )
    after = pictures(tmp_path / "out")
    assert before.keys() == after.keys()
    for name, image in before.items():
        same = (after[name] == image).all(-1)
        inside = np.zeros_like(same)
        inside[1:5, 5:9] = True
        assert same[~inside].all() and not same[inside].all()


def test_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    vq.models.SQVAE(vq.FSQ([4, 4]), width=2, image_size=28).save_pretrained("tokenizer")
    sizes = {"width": 8, "depth": 1, "heads": 2, "hidden": 8}
    vq.models.MaskGIT(16, 4, classes=2, **sizes).save_pretrained("transformer")
    folders = ["transformer", "tokenizer"]
    assert command.main(["sample", *folders, "--count", "3", "--label", "1", "--steps", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 files written to samples"
    assert [image.shape for image in pictures(Path("samples")).values()] == [(8, 8, 3)] * 3
    box = ["--box", "0", "0", "4", "4"]
    assert command.main(["inpaint", *folders, "samples", *box]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 files written to inpainted"
    assert command.main(["inpaint", *folders, "samples"]) == 1
    assert "[inpaint] box = (): four numbers" in capsys.readouterr().err
    assert command.main(["inpaint", *folders, *box, "samples"]) == 0
    assert command.main(["sample", "tokenizer", "tokenizer"]) == 1
    capsys.readouterr()
    assert command.main(["sample", *folders, "--label", "9"]) == 1
    assert capsys.readouterr().err == "vqswift: [generate] labels = 9: must lie in -1...1\n"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"count": 0}, r"\[sample\] count = 0: must be at least 1"),
        ({"map_shape": (2, 2)}, r"\[sample\] map_shape = \(2, 2\): the transformer's 6 codes"),
        ({"map_shape": (-2, -3)}, r"\[sample\] map_shape = \(-2, -3\)"),
        ({}, r"\[sample\] map_shape = \(2, 2\): the transformer's 6 codes"),
        ({"map_shape": (2, 3), "steps": 0}, r"\[generate\] steps = 0"),
    ],
)
def test_samples_that_cannot_be(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        codec.sample_files(*networks(), tmp_path, **({"count": 1} | change))


@pytest.mark.parametrize(
    ("box", "size", "text"),
    [
        ((0, 0, 0, 1), (8, 12), r"box = \(0, 0, 0, 1\): top and left"),
        ((-1, 0, 2, 1), (8, 12), r"box = \(-1, 0, 2, 1\): top and left"),
        ((4, 4, 5, 1), (8, 12), r"box = .*0\.png is of 8 x 12 pixels"),
        ((0, 0, 4, 4), (8, 8), r"\[2, 2\] codes, and the transformer has 6"),
    ],
)
def test_boxes_that_cannot_be(
    tmp_path: Path, box: tuple[int, int, int, int], size: tuple[int, int], text: str
) -> None:
    photos(tmp_path / "photos", size)
    with pytest.raises(ValueError, match=rf"\[inpaint\] .*{text}"):
        codec.inpaint_files(*networks(), tmp_path / "photos", tmp_path / "out", box)


def test_a_tokenizer_of_other_codes(tmp_path: Path) -> None:
    transformer, _ = networks()
    other = vq.models.SQVAE(vq.FSQ([4, 5]), width=2, image_size=28)
    with pytest.raises(ValueError, match=r"\[sample\] the tokenizer has 20 codes, the transf.* 16"):
        codec.sample_files(transformer, other, tmp_path, 1)
    staged = vq.models.SQVAE(vq.ResidualVectorQuant(2, 16, stages=2), width=2, image_size=28)
    with pytest.raises(ValueError, match=r"16 codes in \(2,\) a place, the transformer 16"):
        codec.sample_files(transformer, staged, tmp_path, 1)
