"""Pictures as people have them: every kind is read as its maker meant it, by the library's reader and by MetaPix's, or refused in words."""

from __future__ import annotations

import io
import itertools
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from metapix.data.pictures import clip_of_pictures, find_pictures, read_picture
from metapix.errors import InputError
from numpy.typing import NDArray
from PIL import Image
from skimage.color import xyz2rgb
from skimage.color.colorconv import xyz_from_rgb

from gan_meta.image_files import find_images, read_image

Pixels = NDArray[np.uint8]
H, W = 20, 30
Y, X = np.mgrid[0:H, 0:W]
RGB: Pixels = np.stack([X * 8, Y * 12, 128 + 0 * X], axis=-1).astype(np.uint8)
GREY: Pixels = (X * 8).astype(np.uint8)
GREYS: Pixels = np.repeat(GREY[..., None], 3, axis=2)
CUT: Pixels = np.where(X < 15, 255, 0).astype(np.uint8)
HIDDEN: Pixels = np.where((X < 15)[..., None], RGB, (255, 0, 255)).astype(np.uint8)
ON_WHITE: Pixels = np.where((X < 15)[..., None], RGB, 255).astype(np.uint8)
ORIENTATION = 0x0112


def check(path: Path, expected: Pixels, off: float = 0) -> None:
    """Both readers give it, ``off`` levels away at most."""
    library = ((read_image(path)[0].permute(1, 2, 0).numpy() + 1) * 127.5).round()
    for found in (library, read_picture(path)):
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() <= off


def refused(path: Path, words: str) -> None:
    with pytest.raises(ValueError, match=words) as library:
        read_image(path)
    with pytest.raises(InputError, match=words) as metapix:
        read_picture(path)
    assert path.name in str(library.value)
    assert path.name in str(metapix.value)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png16(path: Path, channels: NDArray[np.uint16], kind: int, *more: bytes) -> Path:
    """A PNG of 16 bits; kind 0 grey, 2 RGB, 4 grey with alpha, 6 RGBA."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in channels)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, 16, kind, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_of_grey_are_0_to_65535(tmp_path: Path, ending: str) -> None:
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / f"grey.{ending}")
    check(tmp_path / f"grey.{ending}", GREYS)
    odd = np.full((H, W), 40_000, np.uint16)
    Image.fromarray(odd).save(tmp_path / f"odd.{ending}")
    check(tmp_path / f"odd.{ending}", np.full((H, W, 3), round(40_000 / 257), np.uint8))


def test_kinds_of_tiff_that_pillow_reads_wrongly_are_refused(tmp_path: Path) -> None:
    deep = np.moveaxis(RGB, -1, 0).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", planarconfig="separate")
    refused(tmp_path / "a.tif", "16 bits and lie in separate planes")
    tifffile.imwrite(tmp_path / "b.tif", deep.astype(np.uint8), photometric="rgb", planarconfig="separate")
    check(tmp_path / "b.tif", deep.astype(np.uint8).transpose(1, 2, 0))
    tifffile.imwrite(tmp_path / "c.tif", GREY.astype(np.int16) * 128)
    refused(tmp_path / "c.tif", "have a sign")
    tifffile.imwrite(tmp_path / "d.tif", np.float32(RGB / 255), photometric="rgb")
    refused(tmp_path / "d.tif", "of a kind of them that is not read; save it as PNG or JPEG of 8 bits")


@pytest.mark.parametrize(("gamma", "power"), [(100_000, 1.0), (55_556, 1.8), (45_455, None)])
def test_a_png_files_gamma_is_undone(tmp_path: Path, gamma: int, power: float | None) -> None:
    said = chunk(b"gAMA", struct.pack(">I", gamma))
    light = (RGB / 255) ** (power or 1)
    right = RGB if power is None else np.rint(255 * xyz2rgb(light @ xyz_from_rgb.T)).astype(np.uint8)
    check(png16(tmp_path / "a.png", RGB * np.uint16(257), 2, said), right, off=1)
    check(png16(tmp_path / "b.png", RGB * np.uint16(257), 2, said, chunk(b"sRGB", b"\0")), RGB)
    cut = np.dstack([RGB, CUT]).astype(np.uint16) * np.uint16(257)
    check(png16(tmp_path / "c.png", cut, 6, said), np.where(cut[..., 3:] > 0, right, 255).astype(np.uint8), off=1)


def test_bitmaps_whose_transparency_is_all_0_are_opaque(tmp_path: Path) -> None:
    for alpha in (np.zeros((H, W)), CUT):
        pixels = np.dstack([RGB[..., ::-1], alpha]).astype(np.uint8)[::-1].tobytes()
        head = struct.pack("<IiiHHIIiiII", 108, W, H, 1, 32, 3, len(pixels), 0, 0, 0, 0)
        head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
        (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + head + pixels)
        check(tmp_path / "a.bmp", np.where(alpha[..., None] > 0, RGB, 255).astype(np.uint8) if alpha.any() else RGB)


def test_sixteen_bits_of_other_orders_and_kinds(tmp_path: Path) -> None:
    big = Image.frombytes("I;16B", (W, H), (GREY.astype(np.uint16) * 257).astype(">u2").tobytes())
    big.save(tmp_path / "big.tif")
    check(tmp_path / "big.tif", GREYS)
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "negative.tif", tiffinfo={262: 0})
    check(tmp_path / "negative.tif", 255 - GREYS)
    wide = np.uint16(257)
    check(png16(tmp_path / "rgb.png", RGB * wide, 2), RGB)
    check(png16(tmp_path / "rgba.png", np.dstack([HIDDEN, CUT]) * wide, 6), ON_WHITE)
    check(png16(tmp_path / "la.png", np.dstack([GREY, CUT]) * wide, 4), np.where((X < 15)[..., None], GREYS, 255).astype(np.uint8))
    hidden = chunk(b"tRNS", struct.pack(">H", 80 * 257))
    check(png16(tmp_path / "key.png", GREY[..., None] * wide, 0, hidden), np.where(GREYS == 80, 255, GREYS).astype(np.uint8))
    hidden = chunk(b"tRNS", (RGB[2, 3] * wide).astype(">u2").tobytes())
    keyed = np.where((RGB[2, 3] == RGB).all(-1, keepdims=True), 255, RGB).astype(np.uint8)
    check(png16(tmp_path / "rgbkey.png", RGB * wide, 2, hidden), keyed)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (GREY.astype(np.float32) / 255, GREYS),
        (GREY.astype(np.float32), GREYS),
        (np.zeros((H, W), np.float32), 0 * GREYS),
        (GREY.astype(np.int32) * 257, GREYS),
        (GREY.astype(np.float32) / 127.5 - 1, r"from -1 to 0\.8\d+.*0 to 1"),
        (GREY.astype(np.float32) * 257, "from 0 to 59624.*0 to 1"),
        (GREY.astype(np.float32) / 100, r"from 0 to 2\.32"),
        (np.where(X == 3, np.nan, GREY / 255).astype(np.float32), "nan"),
        (np.where(X == 3, np.inf, GREY / 255).astype(np.float32), "inf"),
        (GREY.astype(np.int32) * 70_000, "32-bit values from 0 to 16240000.*0 to 65535"),
        (GREY.astype(np.int32) - 5, "32-bit values from -5"),
        (GREY.astype(np.int32), "32-bit values from 0 to 232"),
    ],
)
def test_wide_values_are_scaled_or_refused(tmp_path: Path, values: NDArray[np.generic], expected: Pixels | str) -> None:
    path = tmp_path / "wide.tif"
    Image.fromarray(values).save(path)
    if isinstance(expected, str):
        refused(path, expected)
    else:
        check(path, expected)


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    def saved(picture: Image.Image, name: str, **options: object) -> Path:
        picture.save(tmp_path / name, **options)  # type: ignore[arg-type]
        return tmp_path / name

    rgba = Image.fromarray(np.dstack([HIDDEN, CUT]))
    for name, options in (("a.png", {}), ("a.webp", {"lossless": True, "exact": True}), ("a.tif", {})):
        check(saved(rgba, name, **options), ON_WHITE)
    check(saved(Image.fromarray(np.dstack([GREY, CUT])), "la.png"), np.where((X < 15)[..., None], GREYS, 255).astype(np.uint8))
    shadow = Image.fromarray(np.dstack([0 * RGB, np.full((H, W), 128, np.uint8)]))
    check(saved(shadow, "shadow.png"), np.full((H, W, 3), 127, np.uint8))
    palette = Image.fromarray(RGB).quantize(200)
    key, colours = int(np.array(palette)[5, 5]), np.array(palette.convert("RGB"))
    keyed = np.where((np.array(palette) == key)[..., None], 255, colours).astype(np.uint8)
    check(saved(palette, "palette.png", transparency=key), keyed)
    check(saved(palette, "alphas.png", transparency=bytes(0 if n == key else 255 for n in range(256))), keyed)
    check(saved(Image.fromarray(GREY), "key.png", transparency=80), np.where(GREYS == 80, 255, GREYS).astype(np.uint8))
    exact = np.where((RGB[2, 3] == RGB).all(-1, keepdims=True), 255, RGB).astype(np.uint8)
    check(saved(Image.fromarray(RGB), "colour.png", transparency=tuple(RGB[2, 3].tolist())), exact)


TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda i: i,
    2: lambda i: i[:, ::-1],
    3: lambda i: i[::-1, ::-1],
    4: lambda i: i[::-1],
    5: lambda i: i.transpose(1, 0, 2),
    6: lambda i: np.rot90(i, -1),
    7: lambda i: np.rot90(i.transpose(1, 0, 2), 2),
    8: lambda i: np.rot90(i),
}


@pytest.mark.parametrize("ending", ["png", "webp", "tif", "jpg"])
@pytest.mark.parametrize("orientation", TURNS)
def test_pictures_are_upright(tmp_path: Path, ending: str, orientation: int) -> None:
    exif, path = Image.Exif(), tmp_path / f"turned.{ending}"
    exif[ORIENTATION] = orientation
    options = {"jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}.get(ending, {})
    Image.fromarray(RGB).save(path, exif=exif, **options)
    check(path, TURNS[orientation](RGB), 6 if ending == "jpg" else 0)


def test_sixteen_bits_and_cut_outs_are_upright_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "deep.png", exif=exif)
    check(tmp_path / "deep.png", np.rot90(GREYS, -1))
    Image.fromarray(np.dstack([HIDDEN, CUT])).save(tmp_path / "cut.png", exif=exif)
    check(tmp_path / "cut.png", np.rot90(ON_WHITE, -1))


@pytest.mark.parametrize("ending", ["webp", "png", "tif", "mpo"])
def test_of_several_pictures_the_first_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"two.{ending}"
    options = {"webp": {"lossless": True}, "mpo": {"quality": 98, "subsampling": 0}}.get(ending, {})
    Image.fromarray(RGB).save(path, save_all=True, append_images=[Image.fromarray(255 - RGB)], **options)
    check(path.rename(tmp_path / "two.jpg"), RGB, 6 if ending == "mpo" else 0)


def test_other_colour_models(tmp_path: Path) -> None:
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "cmyk.tif")
    check(tmp_path / "cmyk.tif", RGB)
    Image.fromarray(RGB).convert("YCbCr").save(tmp_path / "ycc.tif")
    check(tmp_path / "ycc.tif", RGB, 3)
    Image.fromarray(GREY > 80).save(tmp_path / "two.png")
    check(tmp_path / "two.png", np.where(GREYS > 80, 255, 0).astype(np.uint8))
    Image.fromarray(RGB).convert("LAB").save(tmp_path / "lab.tif")  # 8 bits of Lab are coarse far from grey
    off = np.abs(read_picture(tmp_path / "lab.tif").astype(int) - RGB)
    assert off.mean() < 0.7
    assert np.quantile(off, 0.98) <= 4


def fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def exponent(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def adobe_rgb() -> bytes:
    """An ICC profile with the primaries and the exponent of Adobe RGB (1998)."""
    columns = {b"rXYZ": (0.60974, 0.31111, 0.01947), b"gXYZ": (0.20528, 0.62567, 0.06087), b"bXYZ": (0.14919, 0.06322, 0.74457)}
    tags = {name: b"XYZ \0\0\0\0" + fixed(*column) for name, column in columns.items()}
    return icc_profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), exponent(563 / 256)))


def icc_profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """The bytes of a display's profile, as the ICC's specification lays them out."""
    tags = tags | {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249)}
    tags |= {b"desc": b"desc\0\0\0\0" + struct.pack(">I", 6) + b"adobe\0" + bytes(78), b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    table, data, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(data), len(content))
        data += padded
    head = struct.pack(">I4sI4s4s4s", at + len(data), b"\0\0\0\0", 0x02400000, b"mntr", space, b"XYZ ") + bytes(12) + b"acsp"
    head += bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + data


def test_colours_of_a_wide_profile_become_srgb(tmp_path: Path) -> None:
    to_xyz = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
    srgb = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]])
    light = np.clip((RGB / 255) ** 2.19921875 @ to_xyz.T @ np.linalg.inv(srgb).T, 0, 1)
    expected = np.rint(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)).astype(np.uint8)
    assert np.abs(expected.astype(int) - RGB).max() > 30
    inside = (expected > 8).all(-1) & (expected < 247).all(-1)  # near the edges the curve's straight part is steep
    profile = adobe_rgb()
    Image.fromarray(RGB).save(tmp_path / "wide.png", icc_profile=profile)
    assert np.abs(read_picture(tmp_path / "wide.png").astype(int) - expected)[inside].max() <= 2
    Image.fromarray(np.dstack([HIDDEN, CUT])).save(tmp_path / "cut.png", icc_profile=profile)
    cut = read_picture(tmp_path / "cut.png").astype(int)
    assert np.abs(cut - expected)[inside & (X < 15)].max() <= 2
    assert (cut[X >= 15] == 255).all()


def test_greys_of_a_profile_become_srgb(tmp_path: Path) -> None:
    light = (GREY / 255) ** 1.8
    expected = np.rint(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))
    assert np.abs(expected - GREY).max() > 15
    for name, values in (("a.png", GREY), ("deep.png", GREY.astype(np.uint16) * 257), ("cut.png", np.dstack([GREY, CUT]))):
        Image.fromarray(values).save(tmp_path / name, icc_profile=icc_profile(b"GRAY", {b"kTRC": exponent(1.8)}))
        found = read_picture(tmp_path / name).astype(int)
        assert np.abs(found[:, :15] - expected[:, :15, None]).max() <= 1


def test_profiles_that_change_nothing_or_are_damaged(tmp_path: Path) -> None:
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for number, profile in enumerate((srgb, srgb[:200], b"no profile")):
        Image.fromarray(RGB).save(tmp_path / f"{number}.png", icc_profile=profile)
        check(tmp_path / f"{number}.png", RGB)


@pytest.fixture
def heic(tmp_path: Path) -> Path:
    exif, path = Image.Exif(), tmp_path / "photos" / "IMG_0001.HEIC"
    path.parent.mkdir()
    exif[ORIENTATION] = 6
    large = np.asarray(Image.fromarray(RGB).resize((240, 160), Image.Resampling.BICUBIC))
    pillow_heif.from_pillow(Image.fromarray(large)).save(path, quality=98, exif=exif.tobytes())
    return path


def test_heic_is_read_whatever_its_name(heic: Path) -> None:
    large = np.asarray(Image.fromarray(RGB).resize((240, 160), Image.Resampling.BICUBIC))
    assert find_pictures(heic.parent) == find_images([heic.parent]) == [heic]
    check(heic, np.rot90(large, -1), 16)
    check(heic.rename(heic.with_name("a.jpg")), np.rot90(large, -1), 16)


def test_heic_without_its_package_names_it(heic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    refused(heic, "HEIC.*pip install pillow-heif")
    with pytest.raises(InputError, match=r"IMG_0001\.HEIC.*pip install pillow-heif"):
        clip_of_pictures(heic.parent, 64)


def test_avif_and_wrong_endings(tmp_path: Path) -> None:
    Image.fromarray(GREYS).save(tmp_path / "a.avif", quality=100)
    check(tmp_path / "a.avif", GREYS, 8)
    Image.fromarray(RGB).save(tmp_path / "b.jpg", format="PNG")
    check(tmp_path / "b.jpg", RGB)
    (tmp_path / "c.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    refused(tmp_path / "c.heic", "read")


def test_hdr_pictures_are_refused(tmp_path: Path) -> None:
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        refused(png16(tmp_path / "a.png", RGB * np.uint16(257), 2, chunk(b"cICP", bytes([9, transfer, 0, 1]))), f"HDR picture .{name}.")
    check(png16(tmp_path / "b.png", RGB * np.uint16(257), 2, chunk(b"cICP", bytes([1, 13, 0, 1]))), RGB)
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, format="AVIF")
    data = bytearray(buffer.getvalue())
    at = data.find(b"colrnclx")
    data[at + 10 : at + 12] = struct.pack(">H", 16)
    (tmp_path / "c.avif").write_bytes(bytes(data))
    refused(tmp_path / "c.avif", "HDR picture .PQ.")


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    for ending, deep in itertools.product(("png", "tif"), (False, True)):
        path = tmp_path / f"cut.{ending}"
        noise = np.random.default_rng(0).integers(0, 60_000, (H, W), np.uint16)
        Image.fromarray(noise if deep else noise.astype(np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
        refused(path, "read")
