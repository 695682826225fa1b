"""Clip folders: what is read is what was written, damage is named, and nothing is left half-made."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from metapix.data import folder as clip_folder
from metapix.data.bundled import bundled_videos
from metapix.data.clip import Clip
from metapix.data.coco import COCO_KEYPOINTS
from metapix.data.folder import Source, is_prepared, read_clip, write_clip
from metapix.errors import InputError
from metapix.poses.skeleton import INDEX
from PIL import Image


def random_clip(count: int = 3, size: int = 24, *, masks: bool = True, boxes: bool = True) -> Clip:
    generator = torch.Generator().manual_seed(0)
    joints = torch.rand(count, 18, 3, generator=generator)
    joints[..., :2] = joints[..., :2] * 40 - 8
    joints[0, 4, 2] = 0
    return Clip(
        "a walker",
        torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8),
        joints,
        29.97,
        torch.randint(0, 256, (count, 1, size, size), generator=generator, dtype=torch.uint8) if masks else None,
        torch.rand(count, 3, generator=generator) * 100 if boxes else None,
        "real",
    )


def assert_same(a: Clip, b: Clip) -> None:
    assert (a.name, a.fps, a.kind) == (b.name, b.fps, b.kind)
    for first, second in ((a.frames, b.frames), (a.joints, b.joints), (a.masks, b.masks), (a.boxes, b.boxes)):
        assert (first is None) == (second is None)
        assert first is None or second is None or torch.equal(first, second)


@pytest.mark.parametrize(("masks", "boxes"), [(True, True), (False, False)])
def test_round_trip_is_exact(tmp_path: Path, masks: bool, boxes: bool) -> None:
    clip = random_clip(masks=masks, boxes=boxes)
    write_clip(clip, tmp_path / "clip")
    assert_same(read_clip(tmp_path / "clip"), clip)
    assert (tmp_path / "clip" / "masks").exists() == masks


def test_times_are_kept_and_folders_without_them_are_of_an_even_rate(tmp_path: Path) -> None:
    times = torch.tensor([0, 1 / 3, 0.5 + 1e-6], dtype=torch.float64)
    write_clip(dataclasses.replace(random_clip(), times=times), tmp_path / "clip")
    stored = read_clip(tmp_path / "clip")
    assert stored.times is not None
    assert stored.times.tolist() == pytest.approx(times.tolist(), abs=1e-9)
    assert stored.fps == pytest.approx(2 / (0.5 + 1e-6))
    last = read_clip(tmp_path / "clip", lambda _: [1, 2])
    assert last.times is not None
    assert last.times.tolist() == pytest.approx([0, 1 / 6 + 1e-6])
    assert last.fps == pytest.approx(6, rel=1e-4)
    manifest = json.loads((tmp_path / "clip" / "manifest.json").read_text())
    del manifest["times"]
    (tmp_path / "clip" / "manifest.json").write_text(json.dumps(manifest))
    old = read_clip(tmp_path / "clip")
    assert (old.times, old.fps) == (None, 29.97)


@pytest.mark.parametrize("times", [[0, 1], [0, 1, 1], [0, 2, 1], [0, 1, None], [0, 1, 1e400], "soon", [[0], [1], [2]]])
def test_times_that_cannot_be_are_named(tmp_path: Path, times: object) -> None:
    write_clip(random_clip(), tmp_path / "clip")
    manifest = json.loads((tmp_path / "clip" / "manifest.json").read_text())
    (tmp_path / "clip" / "manifest.json").write_text(json.dumps({**manifest, "times": times}))
    with pytest.raises(InputError, match="prepare it again"):
        read_clip(tmp_path / "clip")


def test_pictures_are_ordinary_png(tmp_path: Path) -> None:
    clip = random_clip()
    write_clip(clip, tmp_path / "clip")
    assert clip.masks is not None
    frame = np.asarray(Image.open(tmp_path / "clip/frames/000002.png"))
    assert np.array_equal(frame, clip.frames[2].permute(1, 2, 0).numpy())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "clip/masks/000001.png")), clip.masks[1, 0].numpy())


def test_keypoints_are_coco(tmp_path: Path) -> None:
    clip = random_clip()
    write_clip(clip, tmp_path / "clip")
    document = json.loads((tmp_path / "clip/keypoints.json").read_text())
    category = document["categories"][0]
    assert category["keypoints"][9] == "left_wrist"
    assert len(category["keypoints"]) == 17 == len(set(COCO_KEYPOINTS))
    assert category["skeleton"][0] == [16, 14]  # left ankle to left knee, counted from 1 as COCO does
    for i, (image, annotation) in enumerate(zip(document["images"], document["annotations"], strict=True)):
        assert annotation["image_id"] == image["id"]
        assert (tmp_path / "clip" / image["file_name"]).is_file()
        keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
        assert annotation["num_keypoints"] == (keypoints[:, 2] > 0).sum() == (16 if i == 0 else 17)
        x, y, confidence = clip.joints[i, INDEX["left_wrist"]].tolist()
        assert keypoints[9] == pytest.approx([x, y, 2 if confidence >= 0.5 else 1], abs=1e-3)
    assert document["annotations"][0]["keypoints"][30:33] == [0, 0, 0], "the right wrist, confidence 0"


def test_replaces_a_clip_and_nothing_else(tmp_path: Path) -> None:
    write_clip(random_clip(5), tmp_path / "clip")
    write_clip(random_clip(2), tmp_path / "clip")
    assert len(read_clip(tmp_path / "clip")) == 2
    assert len(list((tmp_path / "clip/frames").iterdir())) == 2
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/holiday.txt").write_text("precious")
    with pytest.raises(InputError, match="left alone"):
        write_clip(random_clip(), tmp_path / "photos")
    assert (tmp_path / "photos/holiday.txt").read_text() == "precious"
    with pytest.raises(InputError, match="does not exist"):
        write_clip(random_clip(), tmp_path / "nowhere" / "clip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "photos"]


@pytest.mark.parametrize("older", [False, True])
def test_interrupted_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: bool) -> None:
    before = random_clip(4)
    if older:
        write_clip(before, tmp_path / "clip")

    def interrupt(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(clip_folder, "coco_document", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_clip(random_clip(2), tmp_path / "clip")
    assert [path.name for path in tmp_path.iterdir()] == (["clip"] if older else [])
    if older:
        assert_same(read_clip(tmp_path / "clip"), before)


def test_failed_move_puts_the_older_clip_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = random_clip(4)
    write_clip(before, tmp_path / "clip")
    replace = os.replace

    def full_disk(source: Path, target: Path) -> None:
        if source.name.endswith(".partial"):
            raise OSError("no space left")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_clip(random_clip(2), tmp_path / "clip")
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]
    assert_same(read_clip(tmp_path / "clip"), before)


def change_manifest(folder: Path, **values: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | values))


def test_damage_is_named(tmp_path: Path) -> None:
    def fresh(name: str) -> Path:
        write_clip(random_clip(), tmp_path / name)
        return tmp_path / name

    cases = []
    for kind in ("frames/000001.png", "masks/000000.png", "keypoints.json"):
        changed = fresh("changed-" + kind[:5])
        data = bytearray((changed / kind).read_bytes())
        data[len(data) // 2] ^= 1
        (changed / kind).write_bytes(data)
        cases.append((changed, "checksum"))
        missing = fresh("missing-" + kind[:5])
        (missing / kind).unlink()
        cases.append((missing, "lacks"))
    cases += [(fresh("newer"), "newer than 1"), (fresh("longer"), "lacks"), (fresh("boxes"), "damaged"), (fresh("json"), "damaged")]
    change_manifest(tmp_path / "newer", version=2)
    change_manifest(tmp_path / "longer", frames=4)
    change_manifest(tmp_path / "boxes", boxes=[[0, 0, 1]])
    (tmp_path / "json/manifest.json").write_text('{"format": ')
    for path, message in cases:
        with pytest.raises(InputError, match=message):
            read_clip(path)
    with pytest.raises(InputError, match="not a clip folder"):
        read_clip(tmp_path)


def test_joints_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    clip = random_clip()
    clip.joints[1, 2, 0] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        write_clip(clip, tmp_path / "clip")
    assert not list(tmp_path.iterdir())


def test_manifest_tells_where_a_clip_is_from(tmp_path: Path) -> None:
    video = tmp_path / "private" / "walk.mp4"
    video.parent.mkdir()
    video.write_bytes(b"abc")
    source = Source.of(video)
    assert source == Source("walk.mp4", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")  # FIPS 180-2's example
    write_clip(random_clip(), tmp_path / "clip", source=source, settings={"size": 24})
    assert "private" not in (tmp_path / "clip/manifest.json").read_text()
    assert is_prepared(tmp_path / "clip", source, {"size": 24})
    assert not is_prepared(tmp_path / "clip", source, {"size": 32})
    assert not is_prepared(tmp_path / "clip", Source("walk.mp4", "0" * 64), {"size": 24})
    assert not is_prepared(tmp_path / "private", source, {"size": 24})


def test_bundled_videos_are_eight_files_or_a_pip_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    videos = bundled_videos()
    assert sorted(videos) == [f"{kind}-cam0{camera}" for kind in ("multi", "single") for camera in range(1, 5)]
    assert all(path.stat().st_size > 100_000 for path in videos.values())
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(InputError, match=r"pip install --no-deps pose2sim==0\.10\.49"):
        bundled_videos()
