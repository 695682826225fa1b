"""Videos: what is written can be read again by others, and every way a file can be bad is named."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from metapix.data.media import every_packet
from metapix.data.video import SYNTHETIC_COMMENT, VideoWriter, probe, read_video
from metapix.errors import InputError
from numpy.typing import NDArray


def moving_picture(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Smooth colour waves that move: natural enough for an encoder, and no two frames are equal."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.stack([np.sin((x + 3 * t) / 9), np.cos((y - 2 * t) / 7), np.sin((x + y + t) / 11)], -1) for t in range(count)]
    return [(127.5 + 110 * wave).astype(np.uint8) for wave in waves]


def write(path: Path, frames: list[NDArray[np.uint8]], fps: float = 25) -> Path:
    with VideoWriter(path, fps) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def encode(path: Path, frames: list[NDArray[np.uint8]], *, pts: list[int] | None = None, rotation: int = 0, aspect: int = 1) -> Path:
    """A file as a camera may make it, by PyAV directly; the index comes last."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 25)
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        if rotation:
            stream.set_display_rotation(rotation)
        for i, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = (pts or range(len(frames)))[i], Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_written_video_decodes_to_the_same_pictures(tmp_path: Path) -> None:
    frames = moving_picture(12, 64, 96)
    path = write(tmp_path / "a.mp4", frames, fps=30)
    back = list(read_video(path))
    assert [frame.index for frame in back] == list(range(12))
    assert min(psnr(a, b.image) for a, b in zip(frames, back, strict=True)) > 35
    error = np.mean([b.image.astype(float) - a for a, b in zip(frames, back, strict=True)], axis=(0, 1, 2))
    assert np.abs(error).max() < 0.5, "a colour cast"
    info = probe(path)
    assert (info.width, info.height, info.fps, info.frames) == (96, 64, 30, 12)


def test_opencv_reads_the_same_pictures(tmp_path: Path) -> None:
    frames = moving_picture(4, 64, 96)
    capture = cv2.VideoCapture(str(write(tmp_path / "a.mp4", frames)))
    for frame in frames:
        good, picture = capture.read()
        assert good
        assert psnr(frame, picture[..., ::-1]) > 25, "another decoder sees other colours"


def test_written_file_is_what_browsers_play(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", moving_picture(3, 49, 65))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt, stream.width, stream.height) == ("h264", "yuv420p", 66, 50)
        assert container.metadata["comment"] == SYNTHETIC_COMMENT
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index must come first"


@pytest.mark.parametrize(("height", "width"), [(64, 64), (49, 65)])
def test_same_frames_give_the_same_file(tmp_path: Path, height: int, width: int) -> None:
    frames = moving_picture(40, height, width)
    assert len({write(tmp_path / "a.mp4", frames).read_bytes() for _ in range(6)}) == 1


def test_comment_can_be_replaced_and_tensors_written(tmp_path: Path) -> None:
    frame = torch.from_numpy(moving_picture(1, 32, 32)[0]).permute(2, 0, 1)
    with VideoWriter(tmp_path / "a.mp4", 25, comment="a test") as writer:
        writer.write(frame)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.metadata["comment"] == "a test"
    assert psnr(next(read_video(tmp_path / "a.mp4")).image, frame.permute(1, 2, 0).numpy()) > 30


def test_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"before")
    frame = moving_picture(1, 32, 32)[0]
    with pytest.raises(InputError, match="one size"):
        write(path, [frame, moving_picture(1, 32, 34)[0]])
    with pytest.raises(InputError, match="uint8"):
        write(path, [frame, frame[..., 0]])
    with pytest.raises(InputError, match="no frame"):
        write(path, [])
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("name", "fps"), [("a.avi", 25), ("missing/a.mp4", 25), ("a.mp4", 0), ("a.mp4", float("nan"))])
def test_writer_names_bad_options(tmp_path: Path, name: str, fps: float) -> None:
    with pytest.raises(InputError):
        VideoWriter(tmp_path / name, fps)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_metadata_is_applied(tmp_path: Path, rotation: int) -> None:
    frames = moving_picture(2, 64, 96)
    path = encode(tmp_path / "phone.mp4", frames, rotation=rotation)
    image = next(read_video(path)).image
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # OpenCV turns phone videos upright as well
    good, picture = capture.read()
    assert good
    assert image.shape == picture.shape == ((64, 96, 3) if rotation == 180 else (96, 64, 3))
    assert psnr(image, picture[..., ::-1]) > 25
    assert (probe(path).width, probe(path).height) == image.shape[1::-1]


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path) -> None:
    frames = moving_picture(1, 64, 96)
    image = next(read_video(encode(tmp_path / "a.mp4", frames, aspect=2))).image
    assert image.shape == (64, 192, 3)
    assert psnr(image[:, ::2], frames[0]) > 25


def test_frames_that_come_too_close_are_told_apart_and_those_that_go_back_refused(tmp_path: Path) -> None:
    frames = moving_picture(5, 32, 32)
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        for frame, time in zip(frames, (0, 1e-6, 2e-6, 0.1, 0.2), strict=True):
            writer.write(frame, time)
    assert [frame.time for frame in read_video(tmp_path / "a.mp4")] == pytest.approx([0, 0, 0, 0.1, 0.2], abs=1e-4)
    with VideoWriter(tmp_path / "b.mp4", 10) as writer:
        writer.write(frames[0], 0.1)
        with pytest.raises(InputError, match=r"b\.mp4 must come one after the other: got one at 0\.1 s after one at 0\.1 s"):
            writer.write(frames[1], 0.1)


@pytest.mark.parametrize("fps", [1 / 3600, 0.3, 23.976, 29.97, 240])
def test_any_rate_can_be_written(tmp_path: Path, fps: float) -> None:
    path = write(tmp_path / "a.mp4", moving_picture(4, 32, 32), fps)
    assert probe(path).fps == pytest.approx(fps, rel=1e-5)


def test_timestamps_of_a_variable_frame_rate(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", moving_picture(5, 32, 32), pts=[0, 1, 5, 6, 20])
    times = [frame.time for frame in read_video(path)]
    assert times == pytest.approx([0, 0.04, 0.2, 0.24, 0.8])


def test_every_and_max_frames(tmp_path: Path) -> None:
    frames = moving_picture(10, 32, 32)
    path = write(tmp_path / "a.mp4", frames)
    picked = list(read_video(path, every=3, max_frames=3))
    assert [frame.index for frame in picked] == [0, 3, 6]
    assert psnr(picked[2].image, frames[6]) > 30
    assert picked[2].time == pytest.approx(6 / 25)
    with pytest.raises(InputError, match="at least 1"):
        read_video(path, every=0)


def test_reading_keeps_few_frames_in_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", moving_picture(40, 240, 320))
    tracemalloc.start()
    for _ in read_video(path):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 240 * 320 * 3, "40 frames would be five times this"


def test_a_demuxer_that_fails_after_the_last_packet_has_given_them_all() -> None:
    def late_streams() -> Iterator[int]:
        yield from range(3)
        raise IndexError

    assert list(every_packet(late_streams())) == [0, 1, 2]


def test_of_several_streams_the_one_that_players_show_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        for height, meant in ((32, av.stream.Disposition(0)), (64, av.stream.Disposition.default)):
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt, stream.disposition = height, 96, "yuv420p", meant
        for frame in moving_picture(5, 64, 96):
            for stream in container.streams.video:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[: stream.height]), format="rgb24")))
        for stream in container.streams.video:
            container.mux(stream.encode(None))
    assert next(read_video(path)).image.shape == (64, 96, 3)


def test_truncated_file_gives_the_frames_it_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = write(tmp_path / "whole.mp4", moving_picture(40, 64, 64)).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(0.7 * len(data))])
    with caplog.at_level(logging.WARNING):
        count = len(list(read_video(cut)))
    assert 5 < count < 40
    assert f"kept the {count} of 40 frames" in caplog.text


def test_damaged_file_gives_the_frames_it_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(write(tmp_path / "whole.mp4", moving_picture(300, 64, 64)).read_bytes())
    start = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 3
    data[start : start + 400] = bytes(400)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        count = len(list(read_video(path)))
    assert 20 < count < 300
    assert "damaged or cut off" in caplog.text


def test_a_picture_with_wrong_bytes_is_not_given(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "whole.mp4", moving_picture(60, 64, 64)).read_bytes())
    start = (data.index(b"mdat") + len(data)) // 2
    data[start : start + 30] = bytes(255 - byte for byte in data[start : start + 30])
    (tmp_path / "damaged.mp4").write_bytes(data)
    with av.open(str(tmp_path / "damaged.mp4")) as container:
        flagged = sum(picture.is_corrupt for picture in container.decode(video=0))
    assert flagged > 0, "FFmpeg shows a guess in its place"
    assert len(list(read_video(tmp_path / "damaged.mp4"))) == 60 - flagged


def test_undamaged_file_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(list(read_video(write(tmp_path / "a.mp4", moving_picture(7, 32, 32))))) == 7
    assert not caplog.records


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_files_that_are_no_video_are_named(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", moving_picture(5, 64, 64)).read_bytes()
    bad = {"empty.mp4": b"", "text.mp4": b"This is not a video.\n" * 50, "frameless.mp4": whole[: whole.index(b"mdat") + 4]}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name):
            list(read_video(tmp_path / name))
        with pytest.raises(InputError, match=name):
            probe(tmp_path / name)
    with pytest.raises(InputError, match="no video stream"):
        list(read_video(sound(tmp_path / "sound.wav")))
    with pytest.raises(InputError, match="no video file"):
        read_video(tmp_path / "missing.mp4")
    with pytest.raises(InputError, match="is a folder"):
        read_video(tmp_path)


def test_file_cut_off_before_its_index(tmp_path: Path) -> None:
    data = encode(tmp_path / "whole.mp4", moving_picture(20, 64, 64)).read_bytes()
    assert data.index(b"moov") > data.index(b"mdat")
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut off before its index"):
        list(read_video(tmp_path / "cut.mp4"))
