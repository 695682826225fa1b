"""Animated GIFs: frames are shown when the video shows them, in hundredths of a second whose rounding does not add up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from metapix.data.gif_writer import GifWriter
from PIL import Image

from tests.metapix.test_video import moving_picture


def durations(path: Path, times: Sequence[float] | None, fps: float, count: int = 60) -> list[int]:
    """Milliseconds of each frame of a GIF made of this many frames."""
    with GifWriter(path, fps) as writer:
        for number, frame in enumerate(moving_picture(count, 16, 16)):
            writer.write(frame, None if times is None else times[number])
    with Image.open(path) as animation:
        found = []
        for number in range(animation.n_frames):
            animation.seek(number)
            found.append(animation.info["duration"])
    return found


def test_a_slow_and_a_fast_half_keep_their_times(tmp_path: Path) -> None:
    times = [n / 10 for n in range(20)] + [2 + n / 30 for n in range(40)]
    shown = np.cumsum([0, *durations(tmp_path / "a.gif", times, 59 / times[-1])])[:-1] / 1000
    assert shown == pytest.approx(times, abs=0.0051)


def test_frames_of_a_jittery_fast_video_are_thinned_out_by_time(tmp_path: Path) -> None:
    times = np.cumsum([0, *np.random.default_rng(0).integers(28, 39, 59)]) / 1000
    found = durations(tmp_path / "a.gif", list(times), 59 / times[-1])
    assert len(found) == pytest.approx(25, abs=1)
    assert sum(found) / 1000 == pytest.approx(times[-1] * 60 / 59, abs=0.011)


@pytest.mark.parametrize(("fps", "every"), [(12.5, 1), (7.0, 1), (25.0, 2), (29.97, 2), (60.0, 5)])
def test_rounding_at_an_even_rate_does_not_add_up(tmp_path: Path, fps: float, every: int) -> None:
    found = durations(tmp_path / "a.gif", None, fps)
    assert len(found) == 60 // every
    assert np.cumsum(found[:-1]) / 1000 == pytest.approx(np.arange(1, 60 // every) * every / fps, abs=0.0051)


def test_no_frame_is_shorter_than_browsers_show_nor_longer_than_a_gif_can_say(tmp_path: Path) -> None:
    found = durations(tmp_path / "a.gif", [0, 0.001, 0.002, 1.0, 1501.0, 1501.1], 0.01, count=6)
    assert min(found) >= 20
    assert max(found) <= 655350
    assert found[0] == 1000, "what is seen for less than a fiftieth of a second is left out"
    assert sum(found[:-2]) == 1501000, "a long pause is made of several frames"


def test_a_burst_after_a_pause_takes_no_longer_than_it_did(tmp_path: Path) -> None:
    times = [0.0, 10.0, *(10 + n / 240 for n in range(1, 49))]
    found = durations(tmp_path / "a.gif", times, 49 / times[-1], count=50)
    assert np.cumsum(found[:-1])[-1] / 1000 == pytest.approx(times[-1], abs=0.021)


def test_the_last_picture_before_a_pause_is_the_one_that_is_held(tmp_path: Path) -> None:
    pictures = moving_picture(4, 16, 16)
    with GifWriter(tmp_path / "a.gif", 1, ends=9.0) as writer:
        for picture, time in zip(pictures, [0, 0.004, 0.008, 5.0], strict=True):
            writer.write(picture, time)
    with Image.open(tmp_path / "a.gif") as animation:
        assert (animation.n_frames, animation.info["duration"]) == (2, 5000)
        assert np.abs(np.asarray(animation.convert("RGB")).astype(float) - pictures[2]).mean() < 12
        animation.seek(1)
        assert animation.info["duration"] == 4000
