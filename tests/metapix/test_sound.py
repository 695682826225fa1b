"""Sound: a beep at a frame of the driver stays at that frame, however the file's clock begins, pauses or jumps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from metapix import driver as drivers
from metapix.data.sound import Placed, Sound
from metapix.data.video import VideoWriter, read_video
from metapix.driver import open_video_driver
from metapix.production import write_retargeted

from tests.metapix.recordings import RATE, beeps, record, shown_at, tone
from tests.metapix.stick import SIZE
from tests.metapix.test_driver import Script, performer, stick_frames
from tests.metapix.test_video import moving_picture

FRAMES = 40
BEEP_FRAME = 20
CLOSE = 0.03  # seconds: the tone's edge in an AAC block of 21 ms


def evenly(start: float = 0.0, count: int = FRAMES) -> list[float]:
    return [start + number / 25 for number in range(count)]


def remade(path: Path, out: Path) -> Path:
    """A video written again as `retarget` does it: the frames at their times, the sound by the video's clock."""
    frames = list(read_video(path))
    shifts = tuple(shift for shift, _ in itertools.groupby(frame.shift for frame in frames))
    with VideoWriter(out, 25, sound=Sound(path, shifts)) as writer:
        for frame in frames:
            writer.write(frame.image, frame.time)
    return out


def recorded(path: Path, start: float, stretches: Sequence[tuple[float, float]], **options: object) -> Path:
    times, beep = evenly(start), start + BEEP_FRAME / 25
    return record(path, moving_picture(FRAMES, 32, 32), times, beep=beep, sound=stretches, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "start", "stretches"),
    [
        ("both-at-0.mp4", 0.0, [(0.0, 1.6)]),
        ("video-later.mp4", 0.8, [(0.0, 2.4)]),
        ("sound-later.mp4", 0.0, [(0.5, 1.6)]),
        ("both-later.ts", 1.4, [(1.4, 3.0)]),
        ("video-later-than-sound.ts", 2.2, [(1.4, 3.8)]),
        ("sound-later.ts", 1.4, [(1.9, 3.0)]),
        ("sound-shorter.mkv", 0.0, [(0.0, 1.1)]),
        ("sound-longer.mkv", 0.0, [(0.0, 4.0)]),
        ("sound-long-before.mkv", 3.0, [(0.0, 4.6)]),
        ("gap.mkv", 0.0, [(0.0, 0.4), (0.7, 1.6)]),
        ("gap-in-late-video.ts", 2.2, [(1.4, 2.4), (2.8, 3.8)]),
    ],
)
def test_a_beep_stays_at_its_frame(tmp_path: Path, name: str, start: float, stretches: Sequence[tuple[float, float]]) -> None:
    out = remade(recorded(tmp_path / name, start, stretches), tmp_path / "out.mp4")
    assert shown_at(out) == pytest.approx(evenly(), abs=1e-3)
    assert beeps(out) == pytest.approx([BEEP_FRAME / 25], abs=CLOSE)


@pytest.mark.parametrize("codec", ["libopus", "pcm_s16le", "flac", "ac3", "libmp3lame"])
def test_any_codec_keeps_its_place(tmp_path: Path, codec: str) -> None:
    out = remade(recorded(tmp_path / "a.mkv", 0.8, [(0.0, 2.4)], sound_codec=codec), tmp_path / "out.mp4")
    assert beeps(out) == pytest.approx([BEEP_FRAME / 25], abs=CLOSE)


def test_sound_ends_with_the_last_frame(tmp_path: Path) -> None:
    out = remade(recorded(tmp_path / "a.mp4", 0.8, [(0.0, 9.0)]), tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples / RATE == pytest.approx(FRAMES / 25, abs=0.045)


@pytest.mark.parametrize("longer", [0.0, 0.3])
def test_recordings_joined_into_one_file_stay_in_step(tmp_path: Path, longer: float) -> None:
    parts = [recorded(tmp_path / f"{number}.ts", 1.4, [(1.4, 3.0 + longer)]).read_bytes() for number in range(2)]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    out = remade(tmp_path / "joined.ts", tmp_path / "out.mp4")
    assert shown_at(out) == pytest.approx(evenly(count=2 * FRAMES), abs=1e-3)
    assert beeps(out) == pytest.approx([BEEP_FRAME / 25, (FRAMES + BEEP_FRAME) / 25], abs=CLOSE + 0.02)


def test_the_offset_survives_a_whole_retargeting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "MainPersonEstimator", Script)
    path = record(tmp_path / "camera.ts", stick_frames(FRAMES), evenly(2.2), beep=2.2 + BEEP_FRAME / 25, sound=[(1.4, 3.8)])
    write_retargeted(performer(), open_video_driver(path, SIZE, tmp_path), tmp_path / "out.mp4")
    assert shown_at(tmp_path / "out.mp4")[0] == 0
    assert beeps(tmp_path / "out.mp4") == pytest.approx([BEEP_FRAME / 25], abs=CLOSE)


def test_sound_whose_rate_changes_in_the_middle_goes_on(tmp_path: Path) -> None:
    """As that of MP3 files that were joined into one."""
    with av.open(str(tmp_path / "sound.mp3"), "w") as container:
        write_tone(container, 44100)
    first = (tmp_path / "sound.mp3").read_bytes()
    with av.open(str(tmp_path / "sound.mp3"), "w") as container:
        write_tone(container, 48000)
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(first + (tmp_path / "sound.mp3").read_bytes())
    with VideoWriter(tmp_path / "out.mp4", 25, sound=Sound(joined)) as writer:
        for frame in moving_picture(FRAMES, 32, 32):
            writer.write(frame)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0)) == pytest.approx(1.6, abs=0.06)


def write_tone(container: av.container.OutputContainer, rate: int) -> None:
    stream = container.add_stream("libmp3lame", rate=rate, layout="mono")
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    piece = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
    piece.sample_rate, piece.pts, piece.time_base = rate, 0, Fraction(1, rate)
    container.mux(stream.encode(piece))
    container.mux(stream.encode(None))


@pytest.mark.parametrize("wrong", [0.0, 9.0, 9000.0])
def test_a_timestamp_that_leaves_the_others_moves_no_sound(wrong: float) -> None:
    pieces = tone(1.0, [(0.5, 2.0)])
    pieces[10].pts = round(wrong * RATE)
    placed = np.concatenate(list(Placed(RATE, "mono", (-0.5,)).place(iter(pieces))), axis=1)[0]
    assert np.flatnonzero(np.abs(placed) > 0.1)[0] / RATE == pytest.approx(0.5, abs=0.002)
    assert len(placed) / RATE == pytest.approx(1.5, abs=0.03)
