"""Folders of pictures: what counts as one, pixel formats, transparency, orientation, damage."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vqswift import data

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

SIZE = 7  # pictures of 8 x 8 pixels are not scaled: the middle is pixels 0 to 6


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def folder_of(tmp_path: Path, name: str, picture: Any, **options: Any) -> Path:
    (tmp_path / "class").mkdir(exist_ok=True)
    picture.save(tmp_path / "class" / name, **options)
    return tmp_path


def read(root: Path, **options: Any) -> np.ndarray:
    """The first picture; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return data.ImageFolder(root, size=SIZE, **options).image(0)


def shown(pixels: np.ndarray) -> np.ndarray:
    """What of exact pixels [8, 8] or [8, 8, 3] in [0, 1] is returned."""
    rgb = np.broadcast_to(pixels.reshape(8, 8, -1), (8, 8, 3))
    return rgb[:SIZE, :SIZE].astype(np.float32)


# What counts as a picture.


def test_hidden_files_and_folders_of_systems_are_no_pictures(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 8))
    for folder in (
        "ant",
        "bee",
        ".ipynb_checkpoints",
        ".hidden",
        "__MACOSX",
        "@eaDir",
        "ant/.thumbs",
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        picture.save(tmp_path / folder / "a.png")
    for name in ("._a.png", ".a.png", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt"):
        (tmp_path / "ant" / name).write_bytes(b"\0\5\x16\7")
    (tmp_path / "bee" / "folder.png").mkdir()
    os.mkfifo(tmp_path / "bee" / "pipe.png")
    (tmp_path / "bee" / "dangling.png").symlink_to("nowhere.png")
    (tmp_path / "bee" / "link.png").symlink_to("a.png")
    (tmp_path / "stray.png").write_bytes(b"")
    images = data.ImageFolder(tmp_path, size=SIZE)
    assert images.classes == ["ant", "bee"]
    names = [str(path.relative_to(tmp_path)) for path in images.paths]
    assert names == ["ant/a.png", "bee/a.png", "bee/link.png"]
    assert images.labels.tolist() == [0, 1, 1]
    assert images.images(np.arange(3)).shape == (3, SIZE, SIZE, 3)


def test_a_class_without_pictures_is_told(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", Image.new("L", (8, 8)))
    (tmp_path / "bare").mkdir()
    with pytest.warns(UserWarning, match=r"the classes \['bare'\] have no images") as caught:
        images = data.ImageFolder(tmp_path, size=SIZE)
    assert images.classes == ["bare", "class"] and images.labels.tolist() == [1]
    assert caught[0].filename == __file__


# Exact conversions.


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_gray_of_16_bits_keeps_all_of_them(tmp_path: Path, name: str, rng) -> None:
    pixels = rng.integers(65536, size=(8, 8), dtype=np.uint16)
    pixels[0, :4] = 0, 1, 256, 65535
    root = folder_of(tmp_path, name, Image.fromarray(pixels))
    expected = shown(pixels.astype(np.float32) / np.float32(65535))
    np.testing.assert_array_equal(read(root), expected)


def test_gray_of_16_bits_is_scaled_as_8_bits_are(tmp_path: Path, rng) -> None:
    coarse = rng.integers(80, 176, size=(20, 30), dtype=np.uint8)  # scaling stays in 0...255
    for folder, pixels in (("8", coarse), ("16", coarse.astype(np.uint16) * 257)):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    images = data.ImageFolder(tmp_path, size=14)
    assert images.classes == ["16", "8"]
    deep, shallow = images.image(0), images.image(1)
    # Scaling rounds 8 bits along each axis.
    np.testing.assert_allclose(deep, shallow, atol=1.01 / 255)
    assert 0.3 < deep.mean() < 0.7


def test_bilevel_gray_and_palette_are_exact(tmp_path: Path, rng) -> None:
    bits = rng.integers(2, size=(8, 8)).astype(bool)
    gray = rng.integers(256, size=(8, 8), dtype=np.uint8)
    colors = rng.integers(256, size=(16, 3), dtype=np.uint8)
    chosen = rng.integers(16, size=(8, 8), dtype=np.uint8)
    palette = Image.fromarray(chosen).convert("L").copy()
    palette = Image.frombytes("P", (8, 8), chosen.tobytes())
    palette.putpalette(colors.tobytes())
    cases = [
        ("bits.png", Image.fromarray(bits), bits.astype(np.float32)),
        ("gray.png", Image.fromarray(gray), gray / np.float32(255)),
        ("gray.bmp", Image.fromarray(gray), gray / np.float32(255)),
        ("gray.pgm", Image.fromarray(gray), gray / np.float32(255)),
        ("palette.png", palette, colors[chosen] / np.float32(255)),
        ("palette.bmp", palette, colors[chosen] / np.float32(255)),
    ]
    for number, (name, picture, expected) in enumerate(cases):
        root = tmp_path / str(number)
        root.mkdir()
        np.testing.assert_array_equal(read(folder_of(root, name, picture)), shown(expected), name)


def test_floats_in_the_unit_range_are_kept(tmp_path: Path, rng) -> None:
    pixels = rng.random((8, 8), dtype=np.float32)
    root = folder_of(tmp_path, "a.tif", Image.fromarray(pixels))
    np.testing.assert_array_equal(read(root), shown(pixels))


@pytest.mark.parametrize("value", [-0.01, 1.01, 200.0, np.nan, np.inf])
def test_floats_beyond_are_refused(tmp_path: Path, value: float) -> None:
    pixels = np.full((8, 8), 0.5, np.float32)
    pixels[3, 3] = value
    root = folder_of(tmp_path, "a.tif", Image.fromarray(pixels))
    with pytest.raises(ValueError, match=r"\[image_folder\] .*a\.tif: floats from .* in \[0, 1\]"):
        read(root)


def test_integers_of_32_bits_are_refused(tmp_path: Path) -> None:
    root = folder_of(tmp_path, "a.tif", Image.fromarray(np.full((8, 8), 70_000, np.int32)))
    with pytest.raises(ValueError, match=r"a\.tif: integers of 32 bits"):
        read(root)


# Transparency.


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (10, 200, 30)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_transparent_pixels_show_the_background(
    tmp_path: Path, mode: str, background: tuple[int, int, int], rng
) -> None:
    clear = rng.integers(2, size=(8, 8)).astype(bool)
    pixels = np.where(clear[:, :, None], 77, rng.integers(100, 200, size=(8, 8, 3)))
    pixels = pixels.astype(np.uint8)
    if mode in ("LA", "L"):
        pixels[:] = pixels[:, :, :1]
    options: dict[str, Any] = {}
    if mode in ("RGBA", "LA"):
        alpha = np.where(clear, 0, 255).astype(np.uint8)[:, :, None]
        picture = Image.fromarray(np.concatenate([pixels, alpha], axis=2)).convert(mode)
    elif mode == "P":
        picture = Image.frombytes("P", (8, 8), (~clear).astype(np.uint8).tobytes())
        picture.putpalette([77, 77, 77, 150, 140, 130])
        pixels[~clear] = (150, 140, 130)
        options["transparency"] = 0
    else:
        picture = Image.fromarray(pixels).convert(mode)
        options["transparency"] = 77 if mode == "L" else (77, 77, 77)
    root = folder_of(tmp_path, "a.png", picture, **options)
    composite = np.where(clear[:, :, None], np.array(background), pixels)
    expected = shown(composite.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(read(root, background=background), expected)
    beneath = shown(pixels.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(read(root, background=None), beneath)
    if background == (255, 255, 255):
        np.testing.assert_array_equal(read(root), expected)


def test_half_transparent_pixels_mix(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 4), (200, 100, 0, 128), np.uint8)
    root = folder_of(tmp_path, "a.png", Image.fromarray(pixels))
    share = 128 / 255
    mixed = np.array([200, 100, 0]) * share + 255 * (1 - share)
    np.testing.assert_allclose(read(root) * 255, np.broadcast_to(mixed, (7, 7, 3)), atol=1)


@pytest.mark.parametrize("background", [(0, 0), (0, 0, 256), [0, 0, 0], (0.0, 0.0, 0.0)])
def test_a_background_that_is_no_color(tmp_path: Path, background: Any) -> None:
    folder_of(tmp_path, "a.png", Image.new("L", (8, 8)))
    with pytest.raises(ValueError, match="background .* red, green and blue"):
        data.ImageFolder(tmp_path, size=SIZE, background=background)
    for other in ("white", 3):
        with pytest.raises(TypeError, match=f"background = {other!r}: a tuple of three integers"):
            data.ImageFolder(tmp_path, size=SIZE, background=other)  # type: ignore[arg-type]


# Orientation.

TURNS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_photographs_stand_upright(tmp_path: Path, orientation: int, suffix: str, rng) -> None:
    pixels = rng.integers(256, size=(8, 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"exif": exif} | ({"lossless": True} if suffix == "webp" else {})
    root = folder_of(tmp_path, f"a.{suffix}", Image.fromarray(pixels), **options)
    turned = TURNS[orientation](pixels).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(read(root), shown(turned))
    if suffix == "tif":
        return  # Pillow turns these itself
    as_stored = shown(pixels.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(read(root, upright=False), as_stored)


# Lossy conversions warn.


def test_other_color_spaces_warn_and_name_the_file(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.jpg", Image.new("CMYK", (8, 8), (0, 0, 0, 0)))
    images = data.ImageFolder(tmp_path, size=SIZE)
    with pytest.warns(UserWarning, match=r"a\.jpg: CMYK is converted to RGB") as caught:
        found = images.image(0)
    np.testing.assert_allclose(found, 1, atol=2 / 255)
    assert [warning.filename for warning in caught] == [__file__]


def deep_png(pixels: np.ndarray, transparent: tuple[int, ...] = ()) -> bytes:
    """A PNG of 16 bits a channel, by its definition."""
    height, width, channels = pixels.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = [row.astype(">u2").tobytes() for row in pixels]
    return png(rows, (width, height, 16, color), transparent)


def png(rows: list[bytes], kind: tuple[int, int, int, int], transparent: tuple[int, ...]) -> bytes:
    """A PNG of unfiltered rows; `kind`: width, height, bits and color type."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", *kind, 0, 0, 0)

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    body = chunk(b"IHDR", header)
    if transparent:
        body += chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    content = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", content) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_one_gray_is_transparent_whatever_its_bits(tmp_path: Path, bits: int, rng) -> None:
    largest = 2**bits - 1
    gray = rng.integers(largest + 1, size=(8, 8))
    gray[0, 0] = transparent = largest // 2
    digits = (gray[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = [row.tobytes() for row in np.packbits(digits.reshape(8, -1).astype(np.uint8), axis=1)]
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.png").write_bytes(png(rows, (8, 8, bits, 0), (transparent,)))
    expected = np.where(gray == transparent, 1.0, gray / largest)
    np.testing.assert_allclose(
        read(tmp_path, background=(255, 255, 255)), shown(expected), atol=1e-6
    )


def test_a_transparent_color_of_16_bits_is_refused(tmp_path: Path, rng) -> None:
    pixels = rng.integers(65536, size=(8, 8, 3), dtype=np.uint16)
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.png").write_bytes(deep_png(pixels, (300, 2, 3)))
    images = data.ImageFolder(tmp_path, size=SIZE, background=(255, 255, 255))
    with (
        pytest.warns(UserWarning, match="16 bits a channel"),
        pytest.raises(ValueError, match=r"a\.png: transparent colors of 16 bits"),
    ):
        images.image(0)


def test_a_tiff_that_goes_from_white_to_black(tmp_path: Path, rng) -> None:
    gray = rng.integers(65536, size=(8, 8)).astype(np.uint16)
    folder_of(tmp_path, "a.tif", Image.fromarray(gray), tiffinfo={262: 0})
    np.testing.assert_allclose(read(tmp_path), shown(1 - gray / 65535), atol=1e-6)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colors_of_16_bits_warn(tmp_path: Path, channels: int, rng) -> None:
    pixels = rng.integers(65536, size=(8, 8, channels), dtype=np.uint16)
    if channels in (2, 4):
        pixels[:, :, -1] = 65535
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.png").write_bytes(deep_png(pixels))
    images = data.ImageFolder(tmp_path, size=SIZE)
    with pytest.warns(UserWarning, match=r"a\.png: 16 bits a channel are read as 8"):
        found = images.image(0)
    colors = pixels[:, :, : 3 if channels > 2 else 1] / 65535
    np.testing.assert_allclose(found, shown(colors), atol=1.01 / 255)


def test_gray_of_16_bits_by_definition(tmp_path: Path, rng) -> None:
    pixels = rng.integers(65536, size=(8, 8, 1), dtype=np.uint16)
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.png").write_bytes(deep_png(pixels))
    expected = shown(pixels.astype(np.float32) / np.float32(65535))
    np.testing.assert_array_equal(read(tmp_path), expected)


# Damage.


def test_every_failure_is_a_value_error_with_the_path(tmp_path: Path, monkeypatch) -> None:
    root = folder_of(tmp_path, "a.png", Image.new("RGB", (8, 8)))
    path = root / "class" / "a.png"
    images = data.ImageFolder(root, size=SIZE)
    whole = path.read_bytes()
    contents = [b"", b"x", whole[:20], whole[:-20], b"\x89PNG\r\n\x1a\n" + b"\0" * 60]
    contents += [
        whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :] for i in range(8, len(whole))
    ]
    for content in contents:
        path.write_bytes(content)
        try:
            assert images.image(0).shape == (SIZE, SIZE, 3)
        except ValueError as error:
            assert str(error).startswith(f"[image_folder] {path}: ")
    path.unlink()
    with pytest.raises(ValueError, match=r"a\.png: .*No such file"):
        images.image(0)
    for kind in (SyntaxError, EOFError, OverflowError, TypeError, KeyError, ZeroDivisionError):

        def fail(*_: Any, kind: type[Exception] = kind) -> None:
            raise kind("odd")

        monkeypatch.setattr(Image, "open", fail)
        with pytest.raises(ValueError, match=r"\[image_folder\] .*a\.png: .*odd"):
            images.image(0)
    monkeypatch.setattr(Image, "open", lambda *_: exec("raise MemoryError"))
    with pytest.raises(MemoryError):
        images.image(0)


def test_a_bomb_and_a_thread_of_pixels_are_refused(tmp_path: Path) -> None:
    import struct

    bomb = bytearray(deep_png(np.zeros((1, 1, 1), np.uint16)))
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    import zlib

    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "bomb.png").write_bytes(bomb)
    Image.new("L", (65_000, 1)).save(tmp_path / "class" / "thread.png")
    images = data.ImageFolder(tmp_path, size=224)
    with pytest.raises(ValueError, match=r"bomb\.png: "):
        images.image(0)
    with pytest.raises(ValueError, match=r"thread\.png: 65000 x 1 pixels"):
        images.image(1)
    Image.new("L", (300, 1)).save(tmp_path / "class" / "thread.png")
    assert images.image(1).shape == (224, 224, 3)


def test_negative_seeds_are_refused(tmp_path: Path) -> None:
    root = folder_of(tmp_path, "a.png", Image.new("RGB", (8, 8)))
    with pytest.raises(ValueError, match="seed -1: must not be negative"):
        data.ImageFolder(root, size=SIZE).batches(1, seed=-1)
    with pytest.raises(ValueError, match="seed -1: must not be negative"):
        data.Batches(np.zeros((2, 1, 1, 3), np.uint8), batch_size=1, seed=-1)
    with pytest.raises(ValueError, match="seed -1: must not be negative"):
        data.photos(count=1, seed=-1)


def test_pictures_behind_a_link_are_found_once(tmp_path: Path) -> None:
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "more").mkdir()
    for path in ("root/a/1.png", "more/2.png", "more/3.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / path)
    (tmp_path / "root/a/linked").symlink_to(tmp_path / "more")
    (tmp_path / "more/back").symlink_to(tmp_path / "root/a")
    (tmp_path / "root/a/up").symlink_to("..")
    found = data.ImageFolder(tmp_path / "root", size=7)
    assert sorted(Path(path).name for path in found.paths) == ["1.png", "2.png", "3.png"]


@pytest.mark.parametrize("indices", [np.array([True]), [0.5], []])
def test_pictures_are_taken_by_integers(tmp_path: Path, indices: Any) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a/1.png")
    with pytest.raises(TypeError, match="integers are required"):
        data.ImageFolder(tmp_path, size=7).images(indices)
