"""Drivers that are videos: every frame, its time and its sound come through to the result, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from metapix import driver as drivers
from metapix.data.pose import Detection
from metapix.data.sound import Sound
from metapix.data.video import VideoWriter, read_video
from metapix.driver import open_video_driver
from metapix.performer import Performer
from metapix.production import write_retargeted
from metapix.puppet.puppet import Puppet
from numpy.typing import NDArray
from PIL import Image

from tests.metapix.stick import SIZE, clip_of, paint, pose, wall
from tests.metapix.test_video import encode, moving_picture

RATE = 48000


class Script:
    """Finds the stick person where it was painted; nobody in the frames of ``nobody``."""

    def __init__(self, *, masks: bool = True, nobody: tuple[int, ...] = ()) -> None:
        self.calls, self.nobody = 0, nobody

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_: object) -> None: ...

    def reset(self) -> None:
        self.calls = 0

    def estimate(self, frame: NDArray[np.uint8]) -> Detection | None:
        self.calls += 1
        if self.calls - 1 in self.nobody:
            return None
        return Detection((pose(24 + 0.5 * (self.calls - 1)) * torch.tensor([1, 1, 0.9])).numpy(), None)


def stick_frames(count: int) -> list[NDArray[np.uint8]]:
    return [paint(wall(1), pose(24 + 0.5 * number))[0] for number in range(count)]


def performer() -> Performer:
    return Performer(clip_of([wall(2)] * 2, [pose(30), pose(34, arms=(1.0, 1.0))]))


def with_sound(path: Path, frames: list[NDArray[np.uint8]], fps: int = 25) -> Path:
    """A video whose sound is a tone of 440 Hz in its first second and silence from then on."""
    with av.open(str(path), "w") as container:
        pictures, sound = container.add_stream("libx264", rate=fps), container.add_stream("aac", rate=RATE)
        pictures.height, pictures.width = frames[0].shape[:2]
        pictures.pix_fmt, sound.layout = "yuv420p", "mono"
        for frame in frames:
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        time = np.arange(RATE * len(frames) // fps) / RATE
        tone = (0.3 * np.sin(2 * np.pi * 440 * time) * (time < 1)).astype(np.float32)
        for first in range(0, len(tone) - 1023, 1024):
            piece = av.AudioFrame.from_ndarray(tone[None, first : first + 1024], format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = RATE, first, Fraction(1, RATE)
            container.mux(sound.encode(piece))
        container.mux(pictures.encode(None))
        container.mux(sound.encode(None))
    return path


def sound_of(path: Path) -> NDArray[np.float32]:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().mean(0) for frame in container.decode(audio=0)])


def test_all_frames_come_through_with_their_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "MainPersonEstimator", Script)
    video = with_sound(tmp_path / "dance.mp4", stick_frames(40))
    moves = open_video_driver(video, SIZE, tmp_path)
    assert (len(moves.joints), moves.fps, moves.times) == (40, 25, None)
    write_retargeted(performer(), moves, tmp_path / "out.mp4", side_by_side=True, gif=tmp_path / "out.gif")
    frames = list(read_video(tmp_path / "out.mp4"))
    assert (len(frames), frames[0].image.shape) == (40, (SIZE, 3 * SIZE, 3))
    tone = sound_of(tmp_path / "out.mp4")
    assert len(tone) / RATE == pytest.approx(40 / 25, abs=0.06)
    assert np.abs(tone[RATE // 4 : RATE // 2]).mean() > 0.1
    assert np.abs(tone[RATE * 5 // 4 : RATE * 3 // 2]).mean() < 0.01
    spectrum = np.abs(np.fft.rfft(tone[RATE // 4 : RATE * 3 // 4]))
    assert spectrum.argmax() * 2 == pytest.approx(440, abs=4)
    with Image.open(tmp_path / "out.gif") as animation:
        assert (animation.n_frames, animation.size, animation.info["duration"]) == (20, (3 * SIZE, SIZE), 80)
        animation.seek(10)
        shown = np.asarray(animation.convert("RGB")).astype(float)
    assert np.abs(shown - frames[20].image).mean() < 12
    write_retargeted(performer(), moves, tmp_path / "mute.mp4", sound=False)
    with av.open(str(tmp_path / "mute.mp4")) as container:
        assert not container.streams.audio


def test_uneven_times_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "MainPersonEstimator", Script)
    ticks = [0, 1, 2, 5, 6, 7, 8, 14, 15]
    video = encode(tmp_path / "phone.mp4", stick_frames(9), pts=ticks)
    write_retargeted(performer(), open_video_driver(video, SIZE, tmp_path), tmp_path / "out.mp4")
    times = [frame.time for frame in read_video(tmp_path / "out.mp4")]
    assert times == pytest.approx([tick / 25 for tick in ticks], abs=1e-3)
    assert length_of(tmp_path / "out.mp4") == pytest.approx(15 / 25 * 9 / 8, abs=1e-3)


def length_of(path: Path) -> float:
    """Seconds that a file says its pictures last."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        return float(stream.duration * stream.time_base)


def test_a_last_frame_that_is_held_is_held_and_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "MainPersonEstimator", Script)
    pictures = [Image.fromarray(frame) for frame in stick_frames(6)]
    pictures[0].save(tmp_path / "held.gif", save_all=True, append_images=pictures[1:], duration=[100] * 5 + [2000])
    moves = open_video_driver(tmp_path / "held.gif", SIZE, tmp_path)
    assert (moves.fps, moves.times, moves.ends) == (10, None, pytest.approx(2.5))
    voice = with_sound(tmp_path / "voice.mp4", stick_frames(100))
    write_retargeted(performer(), replace(moves, sound=Sound(voice)), tmp_path / "out.mp4", gif=tmp_path / "out.gif")
    assert length_of(tmp_path / "out.mp4") == pytest.approx(2.5, abs=1e-3)
    assert len(sound_of(tmp_path / "out.mp4")) / RATE == pytest.approx(2.5, abs=0.03)
    with Image.open(tmp_path / "out.gif") as animation:
        animation.seek(animation.n_frames - 1)
        assert animation.info["duration"] == 2000


def test_a_person_who_leaves_leaves_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = (5, *range(12, 36))
    monkeypatch.setattr(drivers, "MainPersonEstimator", lambda masks: Script(nobody=nobody))
    with VideoWriter(tmp_path / "a.mp4", 30) as writer:
        for frame in stick_frames(40):
            writer.write(frame)
    moves = open_video_driver(tmp_path / "a.mp4", SIZE, tmp_path)
    seen = moves.joints[..., 2].amin(1) > 0
    assert seen[:12].all(), "a short gap is filled"
    assert not seen[14:34].any()
    images = torch.cat(list(performer().perform(moves.joints)))
    empty = Puppet(performer().shots).render(pose(30)[None] * torch.tensor([1.0, 1.0, 0.0])).image[0]
    assert torch.equal(images[20], empty)
    assert (images[2] - empty).abs().mean() > 0.01


def test_memory_does_not_grow_with_the_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "MainPersonEstimator", Script)

    def peak(count: int) -> int:
        path = tmp_path / f"{count}.mp4"
        with VideoWriter(path, 30) as writer:
            for number in range(count):
                writer.write(moving_picture(1, 160, 160)[0] if number % 2 else np.zeros((160, 160, 3), np.uint8))
        tracemalloc.start()
        moves = open_video_driver(path, SIZE, tmp_path)
        used = sum(int(picture[0, 0, 0]) >= 0 for picture in moves.pictures())
        assert used == count
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    short, long = peak(40), peak(160)
    assert long - short < 120 * 10_000, "a frame of the video has 76,800 bytes, its joints 216"
