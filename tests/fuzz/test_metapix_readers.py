"""What MetaPix reads of strangers: values of other types, files that point elsewhere, and small files that claim to be huge."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metapix.data.clip import Clip
from metapix.data.download import read_manifest
from metapix.data.folder import count_frames, read_clip, write_clip
from metapix.data.journal import Found, Journal
from metapix.data.pictures import read_picture
from metapix.data.pose_files import read_poses
from metapix.data.released import read_released
from metapix.data.video import read_video
from metapix.errors import InputError
from metapix.performer import load_performer
from metapix.recipe import Recipe, recipe_of
from metapix.training.preset import load_preset
from PIL import Image

import gan_meta as gm
from gan_meta.checkpoint import load_extra, pair_facts
from tests.fuzz.metapix_readers import PRESET, SMALL, metapix_readers
from tests.fuzz.readers import Reader, mutate

INPUTS = 12  # each
PLAIN = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12
)
QUICK = settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    return metapix_readers(tmp_path_factory.mktemp("files") / "metapix")


def test_damaged_files_give_clean_errors_and_take_no_memory(every: dict[str, Reader]) -> None:
    draws = random.Random(3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, reader in every.items():
        assert reader.survives(reader.good), name
        for _ in range(INPUTS):
            reader.survives(mutate(reader.good, draws))
        reader.restore()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB


@QUICK
@given(data=st.data())
def test_json_that_means_something_else_gives_clean_errors(every: dict[str, Reader], data: st.DataObject) -> None:
    reader = every[data.draw(st.sampled_from(["report", "openpose", "poses coco", "poses exact", "poses results", "counted clip"]))]
    document = json.loads(reader.good)
    place = document
    while True:  # walk down to some value, and put another in its place
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inner = place[key]
        if not (isinstance(inner, dict | list) and inner) or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(VALUES)
    reader.survives(json.dumps(document).encode())
    reader.restore()


def toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, str) else repr(value)


@QUICK
@given(data=st.data())
def test_presets_of_other_types_give_clean_errors(every: dict[str, Reader], data: st.DataObject) -> None:
    lines = PRESET.splitlines()
    number = data.draw(st.sampled_from([number for number, line in enumerate(lines) if "=" in line]))
    value = data.draw(st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text("ab\u00e9 ", max_size=4) | st.just([1, 2]))
    lines[number] = f"{lines[number].partition('=')[0]}= {toml_value(value)}"
    every["preset"].survives("\n".join(lines).encode())


@QUICK
@given(name=st.sampled_from(sorted(Recipe(size=32, lr=1.0).as_dict())), value=VALUES)
def test_recipes_and_models_of_other_values_give_clean_errors(tmp_path: Path, name: str, value: Any) -> None:
    pair, path = gm.models.create("pix2pixhd", **SMALL), tmp_path / "start.safetensors"
    gm.save_pair(pair, path, {"recipe": {**Recipe(size=32, lr=1e-3).as_dict(), name: value}})
    try:
        recipe = recipe_of(path)
    except InputError:
        return
    assert getattr(recipe, name) == value


@QUICK
@given(name=st.sampled_from(["clip", "fps", "kind", "size", "steps", "strength", "pose"]), value=VALUES)
def test_models_of_other_notes_give_clean_errors(every: dict[str, Reader], name: str, value: Any) -> None:
    reader = every["personalised model"]
    reader.restore()
    pair, extra, facts = gm.load_pair(reader.path), load_extra(reader.path), pair_facts(reader.path)["facts"]
    gm.save_pair(pair, reader.path, {**facts, name: value}, extra)
    with contextlib.suppress(InputError):
        assert 0 < load_performer(reader.path).shots.fps <= 1000
    reader.restore()


@pytest.mark.parametrize("kind", ["png", "bmp", "webp", "tif"])
def test_pictures_are_measured_before_they_are_unpacked(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"large.{kind}"
    if kind == "png":
        row = zlib.compress(bytes(1 + 10_000))

        def chunk(name: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

        head = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", row) + chunk(b"IEND", b""))
    elif kind == "bmp":
        Image.new("L", (4, 4)).save(file)
        content = bytearray(file.read_bytes())
        content[18:26] = struct.pack("<ii", 10_000, 10_000)
        file.write_bytes(bytes(content))
    else:  # WebP has at most 16,383 pixels a side
        Image.new("L", (16_000, 5_000)).save(file, **({"lossless": True, "method": 0} if kind == "webp" else {"compression": "packbits"}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"pixels; 1 to 64,000,000 pixels can be read"):
        read_picture(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_gif_of_a_huge_canvas_is_refused(tmp_path: Path) -> None:
    (tmp_path / "huge.gif").write_bytes(
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"65535 x 65535 pixels|No frame of .* could be decoded"):
        next(read_video(tmp_path / "huge.gif"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_journal_that_is_a_zip_bomb_or_claims_a_terabyte_is_not_believed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "found", {"video": "a"})
    journal.write(0, Found(np.arange(1), np.zeros((1, 18, 3), np.float32), np.zeros((1, 4)), (None,)))
    entry = tmp_path / "found" / "000000.safetensors"
    assert journal.read(0) is not None
    with zipfile.ZipFile(entry, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("indices.npy", bytes(10**8))
    assert journal.read(0) is None
    header = json.dumps({"indices": {"dtype": "I64", "shape": [10**12], "data_offsets": [0, 8 * 10**12]}}).encode()
    entry.write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    assert journal.read(0) is None


def test_a_manifest_that_claims_more_frames_than_it_has_files_is_refused(tmp_path: Path) -> None:
    write_clip(Clip("someone", torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.rand(2, 18, 3)), tmp_path / "clip")
    manifest = json.loads((tmp_path / "clip" / "manifest.json").read_text())
    for frames, fps in ((10**12, 10.0), (0, 10.0), (-1, 10.0), (True, 10.0), (2, 0.0), (2, float("nan"))):
        (tmp_path / "clip" / "manifest.json").write_text(json.dumps({**manifest, "frames": frames, "fps": fps}))
        with pytest.raises(InputError, match="is damaged"):
            read_clip(tmp_path / "clip")
    (tmp_path / "clip" / "manifest.json").write_text(json.dumps({**manifest, "frames": 10**12}))
    with pytest.raises(InputError, match="fits its files"):
        count_frames(tmp_path / "clip")


@pytest.mark.parametrize("line", ["../secret.png", "/etc/passwd", "..\\secret.png", "link/secret.png", "a\0b.png", "x" * 5000])
def test_lists_reach_nothing_outside_their_folder(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "secret.png")
    (folder / "link").symlink_to(tmp_path)
    for kind in ("img", "label"):
        (folder / f"train_1_{kind}.txt").write_text(f"{line}\n")
    with pytest.raises(InputError, match=r"outside|can be no file|not there"):
        read_released(folder, "train", 8)[0].batch([0])


@pytest.mark.parametrize("name", ["../../x", "a/b", ".hidden", "", "a\nb", "nul\0"])
def test_video_lists_name_no_file_outside_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "list.toml").write_text(f'[[videos]]\nname = {json.dumps(name)}\nyoutube = "wtW2R7hTImA"\n')
    with pytest.raises(InputError, match="no plain name"):
        read_manifest(str(tmp_path / "list.toml"))


def test_text_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.toml").write_text(f"x = {'[' * 50_000}")
    (tmp_path / "deep.json").write_text("[" * 50_000)
    for read in (lambda: load_preset(str(tmp_path / "deep.toml")), lambda: read_manifest(str(tmp_path / "deep.toml"))):
        with pytest.raises(InputError, match="is not TOML"):
            read()
    with pytest.raises(InputError, match="damaged"):
        read_poses(tmp_path / "deep.json")
    with pytest.raises(InputError, match=r"'size' of .recipe. must be a whole number"):
        load_preset("demo", [f"recipe.size={'[' * 50_000}"])


@pytest.mark.parametrize("value", ["1e999", "1" + "0" * 400, "NaN", "1e30", "-200000"])
def test_poses_that_are_nowhere_are_refused(tmp_path: Path, value: str) -> None:
    points = ", ".join([value, "1", "0.5", *["1"] * 48])
    (tmp_path / "poses.json").write_text(f'[{{"image_id": 0, "keypoints": [{points}]}}]')
    with pytest.raises(InputError, match="no keypoints that can be read"):
        read_poses(tmp_path / "poses.json")


def test_poses_of_no_frame_are_refused(tmp_path: Path) -> None:
    (tmp_path / "poses.json").write_text(f'[{{"image_id": 1e999, "keypoints": {[1] * 51}}}]')
    with pytest.raises(InputError, match="no keypoints that can be read"):
        read_poses(tmp_path / "poses.json")
