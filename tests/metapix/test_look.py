"""Looks at videos: shots are kept apart, uneven frame rates are kept, and an interrupted look goes on as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from metapix.data import look as looks
from metapix.data.folder import read_clip
from metapix.data.journal import Found, Journal, StoredMask
from metapix.data.look import look_at
from metapix.data.main_person import Joints
from metapix.data.pose import Detection
from metapix.data.prefetch import prefetch
from metapix.data.prepare import prepare_video
from metapix.data.shots import ShotFinder
from metapix.data.track import tracks_of
from metapix.data.video import VideoWriter
from numpy.typing import NDArray

from tests.metapix.test_video import encode, moving_picture


class Walker:
    """Finds somebody who walks; what it finds depends on how many frames it has followed, as with a real tracker."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.calls, self.interrupt_at = 0, interrupt_at
        self.followed = 0
        self.last: Joints | None = None

    def __repr__(self) -> str:
        return "Walker()"

    def reset(self) -> None:
        self.resume(None, 0)

    def resume(self, last: Joints | None, unseen: int) -> None:
        self.last, self.followed = last, 10 * unseen

    def estimate(self, frame: NDArray[np.uint8]) -> Detection | None:
        self.calls += 1
        if self.calls == self.interrupt_at:
            raise KeyboardInterrupt
        self.followed += 1
        if self.followed % 5 == 0:
            return None
        x = 30.0 if self.last is None else float(self.last[0, 0]) + 0.4
        joints = np.stack([x + np.linspace(-5, 5, 18), np.linspace(15, 50, 18), np.full(18, 0.9)], axis=1).astype(np.float32)
        self.last = joints
        mask = np.zeros(frame.shape[:2], np.uint8)
        mask[10:55, max(int(x) - 8, 0) : int(x) + 8] = 200
        return Detection(joints, mask)


def video(path: Path, count: int = 30) -> Path:
    with VideoWriter(path, 30) as writer:
        for frame in moving_picture(count, 64, 96):
            writer.write(frame)
    return path


def mask_bytes(mask: bytes | StoredMask | None) -> bytes | None:
    return mask.load() if isinstance(mask, StoredMask) else mask


@pytest.mark.parametrize("interrupt_at", [3, 9, 25])
def test_an_interrupted_look_goes_on_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt_at: int) -> None:
    monkeypatch.setattr(looks, "CHUNK", 8)
    path = video(tmp_path / "a.mp4")
    whole = Walker()
    expected = look_at(path, whole, journal=Journal(tmp_path / "whole", {"key": 1}))
    with pytest.raises(KeyboardInterrupt):
        look_at(path, Walker(interrupt_at), journal=Journal(tmp_path / "journal", {"key": 1}))
    again = Walker()
    found = look_at(path, again, journal=Journal(tmp_path / "journal", {"key": 1})).found
    assert again.calls == 30 - 8 * ((interrupt_at - 1) // 8), "whole entries are not asked for again"
    assert found.indices.tolist() == expected.found.indices.tolist()
    assert np.array_equal(found.joints, expected.found.joints)
    assert np.array_equal(found.bounds, expected.found.bounds)
    assert [mask_bytes(mask) for mask in found.masks] == [mask_bytes(mask) for mask in expected.found.masks]


def test_a_journal_of_something_else_or_damaged_is_not_believed(tmp_path: Path) -> None:
    entry = Found(np.array([3]), np.ones((1, 18, 3), np.float32), np.ones((1, 4)), (None,))
    journal = Journal(tmp_path / "j", {"video": "a"})
    journal.write(0, entry)
    kept = Journal(tmp_path / "j", {"video": "a"}).read(0)
    assert kept is not None
    assert (kept.indices.tolist(), kept.masks) == ([3], (None,))
    (tmp_path / "j" / "000000.safetensors").write_bytes(b"damage")
    assert Journal(tmp_path / "j", {"video": "a"}).read(0) is None
    assert Journal(tmp_path / "j", {"video": "b"}).read(0) is None
    assert not (tmp_path / "j").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"x")
    Journal(tmp_path / "photos", {"video": "a"}).close()
    assert (tmp_path / "photos" / "me.jpg").exists(), "a folder that is not a journal is left alone"


def scenes(*colours: tuple[int, int, int], each: int = 20) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [
        np.clip(np.array(colour) + rng.integers(-3, 4, (64, 96, 3)), 0, 255).astype(np.uint8) for colour in colours for _ in range(each)
    ]


def test_cuts_are_found_where_they_are() -> None:
    finder = ShotFinder()
    for number, frame in enumerate(scenes((230, 200, 60), (20, 40, 120), (200, 240, 220))):
        finder.look(frame, number / 20)
    assert finder.finish() == [20, 40]
    still = ShotFinder()
    for number, frame in enumerate(moving_picture(40, 64, 96)):
        still.look(frame, number / 20)
    assert still.finish() == []


def test_a_clip_is_of_one_shot_and_all_shots_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with VideoWriter(path, 15) as writer:
        for frame in [*scenes((230, 200, 60)), *scenes((20, 40, 120), each=30)]:
            writer.write(frame)
    (single,) = prepare_video(path, tmp_path / "film", size=32, estimator=Walker())
    assert read_clip(single).frames.float().mean((0, 2, 3)).argmax() == 2, "the longest shot is the blue one"
    first, second = prepare_video(path, tmp_path / "all", size=32, estimator=Walker(), all_shots=True)
    assert (first.name, second.name) == ("all", "all-2")
    assert read_clip(second).frames.float().mean((0, 2, 3)).argmax() == 0
    assert len(read_clip(first)) > len(read_clip(second)) > 10
    again = Walker()
    assert prepare_video(path, tmp_path / "all", size=32, estimator=again, all_shots=True) == [first, second]
    assert again.calls == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["all", "all-2", "film", "film.mp4"]


def test_frames_of_an_uneven_rate_are_all_kept_at_their_times(tmp_path: Path) -> None:
    ticks = [0, 1, 2, 3, 8, 9, 10, 16, 17, 18, 19, 20, 21, 22, 23]
    path = encode(tmp_path / "phone.mp4", moving_picture(15, 64, 96), pts=ticks)
    look = look_at(path, Walker())
    assert look.times == pytest.approx(np.array(ticks) / 25)
    assert look.fps == pytest.approx(14 / (23 / 25))
    (track,) = tracks_of(look)
    assert track.indices.tolist() == look.found.indices.tolist()
    assert track.times == pytest.approx(np.array(ticks)[track.indices] / 25 - ticks[track.indices[0]] / 25)
    (folder,) = prepare_video(path, tmp_path / "clip", size=32, estimator=Walker())
    clip = read_clip(folder)
    assert clip.times is not None
    assert clip.times.tolist() == pytest.approx(track.times.tolist(), abs=1e-6)
    assert clip.fps == pytest.approx((len(clip) - 1) / track.times[-1])


def test_prefetching_changes_nothing_and_passes_errors_on() -> None:
    assert list(prefetch(iter(range(100)), depth=2)) == list(range(100))

    def broken():  # type: ignore[no-untyped-def]
        yield 1
        raise ValueError("in the middle")

    items = prefetch(broken())
    assert next(items) == 1
    with pytest.raises(ValueError, match="in the middle"):
        next(items)
    endless = prefetch(iter(int, 1), depth=2)
    assert next(endless) == 0
    endless.close()
