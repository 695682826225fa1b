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
    assert sum(found) / 1000 == pytest.approx(times[-1], abs=0.1)
    assert found[-1] == pytest.approx(70, abs=10)


@pytest.mark.parametrize(("fps", "every"), [(12.5, 1), (7.0, 1), (25.0, 2), (29.97, 2), (60.0, 5)])
def test_rounding_at_an_even_rate_does_not_add_up(tmp_path: Path, fps: float, every: int) -> None:
    found = durations(tmp_path / "a.gif", None, fps)
    assert len(found) == 60 // every
    assert np.cumsum(found[:-1]) / 1000 == pytest.approx(np.arange(1, 60 // every) * every / fps, abs=0.0051)


def test_no_frame_is_shorter_than_browsers_show_nor_longer_than_a_gif_can_say(tmp_path: Path) -> None:
    found = durations(tmp_path / "a.gif", [0, 0.001, 0.002, 1.0, 1501.0, 1501.1], 0.01, count=6)
    assert min(found) >= 20
    assert max(found) <= 655350
    assert np.cumsum(found[:3])[-1] == 1000
    assert sum(found[:-2]) == 1501000, "a long pause is made of several frames"
