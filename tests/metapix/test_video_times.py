"""Times: a clip's frames are shown when the video showed them; a clock that repeats itself, jumps or is missing is mended by one rule."""

from __future__ import annotations

import logging
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metapix.data.video import probe, read_video
from metapix.data.video_times import Clock, is_even, mean_rate
from numpy.typing import NDArray

from tests.metapix.recordings import record
from tests.metapix.test_video import moving_picture


def times_by(stamps: list[float | None], rate: float | None = 10) -> tuple[list[float], Clock[int]]:
    clock: Clock[int] = Clock(rate)
    settled = [pair for number, stamp in enumerate(stamps) for pair in clock.add(stamp, number)] + clock.finish()
    assert [number for _, number in settled] == list(range(len(stamps)))
    return [time for time, _ in settled], clock


def test_good_timestamps_are_kept_and_begin_at_nought() -> None:
    stamps: list[float | None] = [-3.0, -2.9, -2.75, -2.7, 1.0]
    times, clock = times_by(stamps)
    assert times == pytest.approx([0, 0.1, 0.25, 0.3, 4.0])
    assert (clock.shift, clock.spread, clock.set_anew) == (3.0, 0, 0)


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0, 0.1, 0.2, 0.2, 0.4, 0.5], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # a repeated timestamp
        ([0, 0.1, 0.2, 0.2, 0.2, 0.3], [0, 0.1, 0.2, 0.2333, 0.2667, 0.3]),  # without room for steps of the usual length
        ([0, 0.1, 0.2, 0.15, 0.4, 0.5], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # out of order
        ([0, 0.1, 0.2, None, None, 0.5], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # missing
        ([0, 0.1, 0.2, 0.2, 9.0], [0, 0.1, 0.2, 0.3, 9.0]),  # repeated before a pause
        ([0, 0.1, 0.2, 0.2], [0, 0.1, 0.2, 0.3]),  # repeated at the end
        ([5.0, 5.1, 5.2, 0.0, 0.1, 0.2], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # set back
        ([5.0, 5.1, 5.2, 9005.0, 9005.1], [0, 0.1, 0.2, 0.3, 0.4]),  # set forward by hours
        ([0, 0.1, 1800.0, 1800.1], [0, 0.1, 1800.0, 1800.1]),  # a pause of half an hour
        ([0, 0.1, 0.2, 9.0, 0.4, 0.5], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # one that is far ahead
        ([5, 5.1, 5.2, 0.0, 5.4, 5.5], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # one that is nought
        ([0, 0.1, 0.2, 9000.0, 0.4, 0.5], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # one that is hours ahead
        ([0, 0.1, 0.2, 3.0, 6.0, 6.1], [0, 0.1, 0.2, 3.0, 6.0, 6.1]),  # pauses
        ([0, 3000.0, 6000.0], [0, 3000.0, 6000.0]),  # a picture every fifty minutes
        ([None, None, None], [0, 0.1, 0.2]),
        ([None, None, 7.0, 7.1], [0, 0.1, 0.2, 0.3]),
    ],
)
def test_what_the_clock_makes_of_timestamps(stamps: list[float | None], expected: list[float]) -> None:
    assert times_by(stamps)[0] == pytest.approx(expected, abs=1e-4)


def test_a_picture_every_two_hours_is_no_jump_where_the_header_says_so() -> None:
    assert times_by([0, 7200.0, 14400.0], rate=1 / 7200)[0] == [0, 7200, 14400]


def test_a_clock_that_stands_still_goes_on_and_holds_few_frames() -> None:
    times, clock = times_by([0.0, 0.1, *[0.2] * 60, 0.3, 0.4])
    assert np.diff(times) == pytest.approx(np.full(63, 0.1), abs=0.1)
    assert clock.set_anew >= 3
    waiting: Clock[int] = Clock(10)
    held = 0
    for number in range(100):
        held += 1 - len(waiting.add(0.0, number))
        assert held <= 17


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e5, 1e5), st.integers(0, 20).map(lambda n: n / 10)), min_size=1, max_size=60))
def test_times_only_go_forward_whatever_the_timestamps(stamps: list[float | None]) -> None:
    times, _ = times_by(stamps)
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    assert np.isfinite(times).all()


def test_rates_and_evenness_are_measured() -> None:
    milliseconds = np.round(np.arange(60) / 30, 3)
    assert mean_rate(milliseconds, 5.0) == pytest.approx(30, abs=0.01)
    assert is_even(milliseconds, mean_rate(milliseconds, 5.0))
    assert mean_rate(np.arange(7) * 1001 / 30000, 5.0) == pytest.approx(30000 / 1001, rel=1e-9)
    dropped = np.delete(np.arange(60) / 30, [7, 20, 21])
    assert not is_even(dropped, mean_rate(dropped, 5.0))
    assert mean_rate(np.zeros(1), 5.0) == 5.0


JITTER = np.cumsum([0, *np.random.default_rng(0).integers(28, 39, 19)]) / 1000


def without_default_duration(path: Path) -> Path:
    """As browsers write WebM: no rate in the header (the element becomes a void one)."""
    data = bytearray(path.read_bytes())
    place = data.find(b"\x23\xe3\x83")
    length = data[place + 3] & 127
    data[place : place + 4] = bytes([0xEC, 0x80 | (length + 2), 0, 0])
    path.write_bytes(data)
    return path


def test_a_browsers_recording_has_its_mean_rate_and_its_times(tmp_path: Path) -> None:
    frames = moving_picture(20, 64, 96)
    options = {"b:v": "1M", "deadline": "realtime", "cpu-used": "8"}
    path = record(tmp_path / "a.webm", frames, list(JITTER), codec="libvpx", clock=Fraction(1, 1000), options=options)
    info = probe(without_default_duration(path))
    assert (info.frames, info.fps) == (20, pytest.approx(19 / JITTER[-1], rel=1e-4))
    assert [frame.time for frame in read_video(path)] == pytest.approx(list(JITTER), abs=6e-4)


@pytest.mark.parametrize("name", ["a.ts", "a.mp4", "a.mkv", "a.flv", "a.avi"])
@pytest.mark.parametrize("reordered", ["0", "3"])
def test_times_do_not_depend_on_the_container(tmp_path: Path, name: str, reordered: str) -> None:
    times = np.arange(20) / 25 if name == "a.avi" else JITTER + np.random.default_rng(1).uniform(0, 0.002, 20)
    clock = Fraction(1, 25) if name == "a.avi" else Fraction(1, 90000)
    path = record(tmp_path / name, moving_picture(20, 64, 96), list(times), clock=clock, options={"bf": reordered})
    info = probe(path)
    assert (info.frames, info.fps) == (20, pytest.approx(19 / (times[-1] - times[0]), rel=1e-3))
    assert [frame.time for frame in read_video(path)] == pytest.approx(list(times - times[0]), abs=1.1e-3)


def restamped(path: Path, stamps: list[float], frames: list[NDArray[np.uint8]], clock: Fraction = Fraction(1, 1000)) -> Path:
    """A Matroska file whose packets carry these timestamps, duplicates and all."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "12", "bf": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        pictures = [av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames]
        packets = [packet for picture in [*pictures, None] for packet in stream.encode(picture)]
        for packet, stamp in zip(packets, stamps, strict=True):
            packet.pts = packet.dts = round(stamp / clock)
            packet.time_base = clock
            container.mux(packet)
    return path


def test_repeated_timestamps_in_a_file_are_spread_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stamps = [number / 30 for number in range(20)]
    stamps[7], stamps[13] = stamps[6], stamps[12]
    path = restamped(tmp_path / "dup.mkv", stamps, moving_picture(20, 64, 96))
    with caplog.at_level(logging.WARNING):
        times = [frame.time for frame in read_video(path)]
    assert times == pytest.approx([number / 30 for number in range(20)], abs=2e-3)
    assert "2 frames had no time of their own" in caplog.text
    assert (probe(path).frames, probe(path).fps) == (20, pytest.approx(30, rel=2e-3))


def test_recordings_joined_into_one_file_play_one_after_the_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = moving_picture(20, 64, 96)
    parts = [record(tmp_path / f"{number}.ts", frames, [1.4 + n / 25 for n in range(20)]).read_bytes() for number in range(2)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    with caplog.at_level(logging.WARNING):
        found = list(read_video(joined))
    assert [frame.time for frame in found] == pytest.approx([n / 25 for n in range(40)], abs=1e-4)
    assert found[-1].shift - found[0].shift == pytest.approx(20 / 25, abs=1e-4)
    assert "its clock jumps (1 times)" in caplog.text
    assert (probe(joined).frames, probe(joined).fps) == (40, pytest.approx(25, rel=1e-4))


@pytest.mark.parametrize(("rate", "reordered"), [(Fraction(24000, 1001), "0"), (Fraction(30), "3"), (Fraction(50), "0")])
def test_a_stream_without_timestamps_has_the_rate_it_claims(tmp_path: Path, rate: Fraction, reordered: str) -> None:
    path = tmp_path / "a.h264"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"bf": reordered})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for frame in [av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in moving_picture(20, 64, 96)]:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert [frame.time for frame in read_video(path)] == pytest.approx([float(number / rate) for number in range(20)], abs=1e-6)
    assert probe(path).fps == pytest.approx(float(rate), rel=1e-9)


@pytest.mark.parametrize("usual", [24000 / 1001, 25, 30000 / 1001, 60, 60000 / 1001])
@pytest.mark.parametrize("clock", [1000, 90000])
def test_a_usual_rate_survives_a_coarse_clock(usual: float, clock: int) -> None:
    assert mean_rate(np.rint(np.arange(200) / usual * clock) / clock, 5.0) == usual
    assert mean_rate(np.arange(200) / (usual * 1.01), 5.0) == pytest.approx(usual * 1.01)


@pytest.mark.parametrize(("codec", "reordered"), [("libx264", "0"), ("libx264", "3"), ("mpeg4", "2"), ("mjpeg", "0")])
def test_pictures_of_an_avi_file_begin_when_its_sound_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, reordered: str
) -> None:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = {} if codec == "mjpeg" else {"bf": reordered}
    times = [number / 25 for number in range(20)]
    path = record(tmp_path / "a.avi", moving_picture(20, 64, 96), times, codec=codec, pixels=pixels, clock=Fraction(1, 25), options=options)
    with caplog.at_level(logging.WARNING):
        frames = list(read_video(path))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-6)
    assert {frame.shift for frame in frames} == {0}
    assert not caplog.records


def test_a_header_that_claims_a_frame_in_years_is_not_believed(tmp_path: Path) -> None:
    path = record(tmp_path / "a.ivf", moving_picture(5, 64, 96), [n / 30 for n in range(5)], codec="libvpx", options={})
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack("<II", 1, 10**8)  # a unit of the clock is three years
    path.write_bytes(data)
    assert np.diff([frame.time for frame in read_video(path)]).max() < 1
