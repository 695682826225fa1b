"""Cells, starts and videos: names that follow from content, frames that follow the protocol."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from metapix.data.drawn import draw_clip
from metapix.data.folder import write_clip
from metapix.errors import InputError
from metapix.evaluation.grid import Cell, Protocol
from metapix.evaluation.starts import Start, digest_of
from metapix.evaluation.videos import TestVideo
from metapix.tasks import evenly_spaced, split


def cell(**changes: object) -> Cell:
    start = Start("pix2pixhd", "metapix", 0, 5, 20, ("a.b=1",), {"x": {"y": 1}})
    return dataclasses.replace(Cell(start, 5, 20, "video", "abc", 0, Protocol(48)), **changes)


def test_every_setting_changes_a_cells_name() -> None:
    start = cell().start
    others = [
        cell(shots=4), cell(shots="all"), cell(steps=21), cell(video="other"), cell(video_digest="abd"), cell(seed=1),
        cell(protocol=Protocol(64)), cell(protocol=Protocol(48, "random")), cell(snapshots=(0,)), cell(game="g"),
        cell(start=dataclasses.replace(start, seed=1)), cell(start=dataclasses.replace(start, changes=())),
        cell(start=dataclasses.replace(start, settings={"x": {"y": 2}})), cell(start=dataclasses.replace(start, steps=10)),
    ]  # fmt: skip
    assert len({one.digest for one in [cell(), *others]}) == len(others) + 1


def test_equal_cells_have_equal_names_whatever_the_order_of_keys() -> None:
    assert cell().digest == cell().digest
    assert digest_of({"a": 1, "b": [2, {"c": 3, "d": 4}]}) == digest_of({"b": [2, {"d": 4, "c": 3}], "a": 1})


def video(frames: int) -> TestVideo:
    return TestVideo(Path("v"), "v", "real", frames, "d")


def test_even_frames_are_those_of_evaluate() -> None:
    clip = draw_clip(1, 30, 16, fps=6)
    clip = dataclasses.replace(clip, fps=6.0)
    first, rest = split(clip)
    for shots in (1, 3, 5, 25):
        expected = evenly_spaced(first, shots)
        assert first.select(video(30).shots(shots, "even", 0)).joints.equal(expected.joints)
    assert clip.select(video(30).scored(2000)).joints.equal(rest.joints)


def test_released_frames_begin_at_100_in_steps_of_n_minus_100_over_k() -> None:
    # 0.85 * 2000 = 1700 frames to learn from: step (1700 - 100) // 5 = 320
    assert video(2000).shots(5, "released", 0) == [100, 420, 740, 1060, 1380]


def test_random_frames_follow_the_seed_and_stay_in_the_first_part() -> None:
    draws = [video(100).shots(7, "random", seed) for seed in range(20)]
    assert draws == [video(100).shots(7, "random", seed) for seed in range(20)]
    assert len({tuple(draw) for draw in draws}) > 15
    assert all(len(set(draw)) == 7 and max(draw) < 85 and draw == sorted(draw) for draw in draws)


def test_scored_frames_are_the_first_of_the_last_part_in_a_row() -> None:
    assert video(100).scored(10) == list(range(85, 95))


@pytest.mark.parametrize(
    ("frames", "shots", "selection", "words"),
    [
        (1, 1, "even", "v has 1 frames; it takes at least 2"),
        (10, 9, "even", "v has 8 frames in its first 85%, and K = 9 were asked for"),
        (110, 5, "released", "v has 0 frames after frame 100 of its first 85%"),
    ],
)
def test_short_videos_are_named(frames: int, shots: int, selection: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        video(frames).shots(shots, selection, 0)


def test_a_videos_digest_follows_its_content(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_clip(dataclasses.replace(draw_clip(seed, 3, 16, fps=6), name="same"), tmp_path / name)
    a, b, c = (TestVideo.open(tmp_path / name) for name in "abc")
    assert a.digest == b.digest != c.digest
    assert (a.frames, a.kind, a.name) == (3, "drawn", "same")
    with pytest.raises(InputError, match="is not a clip folder"):
        TestVideo.open(tmp_path)


def test_the_cells_of_released_runs_keep_their_names() -> None:
    """A run that was begun with an earlier version goes on: what a name is made of may only change with the release's number."""
    assert (digest_of({"a": [1, "b"], "c": None}), cell().start.digest, cell().digest) == (
        "23973d1d69982158",
        "1f77b0825a9a9853",
        "e499d13637465965",
    )


@pytest.mark.parametrize("wanting", ["{", "[]", '{"format": "metapix-clip", "version": 1}', "name", "kind", "frames", "checksums"])
def test_a_damaged_manifest_is_named(wanting: str, tmp_path: Path) -> None:
    write_clip(draw_clip(1, 4, 16, fps=6), tmp_path / "clip")
    manifest = tmp_path / "clip" / "manifest.json"
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({key: value for key, value in document.items() if key != wanting}) if wanting in document else wanting)
    with pytest.raises(InputError, match=r"manifest\.json|is damaged"):
        TestVideo.open(tmp_path / "clip")
