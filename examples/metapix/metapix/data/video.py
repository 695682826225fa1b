"""Video files with PyAV: a streaming reader of upright RGB frames and their times; the writer is in :mod:`metapix.data.video_writer`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from metapix.data.media import every_packet, open_media
from metapix.data.video_decode import Decoder, seconds_of, video_stream
from metapix.data.video_pixels import RgbReader
from metapix.data.video_times import LEAST_CLAIMED, MOST_CLAIMED, Clock, mean_rate
from metapix.data.video_writer import SYNTHETIC_COMMENT, VideoWriter
from metapix.errors import InputError

__all__ = ["SYNTHETIC_COMMENT", "Frame", "VideoInfo", "VideoWriter", "expected_frames", "probe", "read_video"]


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture.

    Attributes:
        index: its number in the file.
        time: seconds since the first frame; later than the frame before, see :class:`metapix.data.video_times.Clock`.
        image: (H, W, 3) uint8 RGB, upright.
        shift: what was added to the file's own seconds to get ``time``; the file's sound is shifted by the same.
        lasts: seconds that the file says it is shown for; 0 where it does not say.
    """

    index: int
    time: float
    image: NDArray[np.uint8]
    shift: float = 0.0
    lasts: float = 0.0


@dataclass(frozen=True)
class VideoInfo:
    """Size in pixels as shown (upright, square pixels), mean frames per second by the timestamps, and number of frames."""

    width: int
    height: int
    fps: float
    frames: int


def probe(path: Path) -> VideoInfo:
    """What a video is, from its first picture and all its timestamps: the whole file is read, though not decoded.

    Raises:
        InputError: the file is missing, not a video, without a video stream, or nothing in it decodes.
    """
    first = next(read_video(path, max_frames=1))
    height, width = first.image.shape[:2]
    with open_media(path) as container:
        stream = video_stream(container, path)
        clock: Clock[None] = Clock(header_rate(stream))
        settled = [*chain.from_iterable(clock.add(stamp, None) for stamp in _packet_stamps(container, stream)), *clock.finish()]
        times = np.array([time for time, _ in settled])
        return VideoInfo(width, height, mean_rate(times, 1 / clock.step), max(len(times), 1))


def expected_frames(path: Path) -> int | None:
    """How many frames the header promises, for progress bars; ``None`` where it does not say.

    Raises:
        InputError: the file is not a video or has no video stream.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        rate = header_rate(stream)
        if stream.frames or rate is None or not (stream.duration and stream.time_base):
            return stream.frames or None
        return round(float(stream.duration * stream.time_base) * rate)


def header_rate(stream: VideoStream) -> float | None:
    """Frames per second as the file claims, where that can be a rate."""
    average = stream.average_rate if stream.start_time is not None else None  # FFmpeg makes one up for files without timestamps
    claims = (float(rate) for rate in (average, stream.guessed_rate, stream.base_rate) if rate)
    return next((rate for rate in claims if LEAST_CLAIMED <= rate <= MOST_CLAIMED), None)


def read_video(path: Path, *, max_frames: int | None = None, every: int = 1) -> Iterator[Frame]:
    """Decode a video one frame at a time, in constant memory.

    Frames come as players show them: turned and mirrored, with square pixels, whole where they were interlaced, high dynamic
    range as sRGB, transparency over white; all have the size of the first. A damaged or truncated file gives the frames that
    decode and a logged warning, and so do timestamps that had to be repaired.

    Args:
        path: any file that FFmpeg decodes.
        max_frames: stop after this many frames were given.
        every: give frames 0, ``every``, 2 ``every``, ...

    Raises:
        InputError: the file is missing, not a video, without a video stream, or nothing in it decodes.
    """
    if every < 1 or (max_frames is not None and max_frames < 1):
        raise InputError(f"every and max_frames must be at least 1, got every={every}, max_frames={max_frames}.")
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is a folder, not a video file." if path.is_dir() else f"There is no video file {path}.")
    return _frames(path, max_frames, every)


def _frames(path: Path, max_frames: int | None, every: int) -> Iterator[Frame]:
    with open_media(path) as container:
        stream = video_stream(container, path)
        stream.thread_type = "AUTO"
        decoder, reader = Decoder(container, stream), RgbReader(stream, path)
        clock: Clock[tuple[int, VideoFrame]] = Clock(header_rate(stream))
        given = 0
        for time, (index, picture) in _timed(decoder, clock):
            if index % every:
                continue
            yield Frame(index, time, reader.read(picture), clock.shift, seconds_of(picture))
            given += 1
            if given == max_frames:
                return
        decoder.report(path)
        clock.report(path)


def _timed(decoder: Decoder, clock: Clock[tuple[int, VideoFrame]]) -> Iterator[tuple[float, tuple[int, VideoFrame]]]:
    for index, (stamp, picture) in enumerate(decoder):
        yield from clock.add(stamp, (index, picture))
    yield from clock.finish()


def _packet_stamps(container: InputContainer, stream: VideoStream) -> Iterator[float]:
    """The timestamps of the pictures that will be shown, in their order; a file cut off gives those that it has."""
    part: list[tuple[float, float | None]] = []  # decoding time and display time since the clock was set back last
    try:
        for packet in every_packet(container.demux(stream)):
            if not packet.size or packet.is_discard:
                continue
            shown, decoded = (None if stamp is None else float(stamp * packet.time_base) for stamp in (packet.pts, packet.dts))
            order = decoded if decoded is not None else shown if shown is not None else part[-1][0] if part else 0.0
            if part and order < part[-1][0]:
                yield from _in_order(part)
                part = []
            part.append((order, shown))
    except av.FFmpegError:
        pass  # what decodes of a damaged file is said where it is decoded
    yield from _in_order(part)


def _in_order(part: Sequence[tuple[float, float | None]]) -> Sequence[float]:
    shown = [stamp for _, stamp in part if stamp is not None]
    return sorted(shown) if len(shown) == len(part) else [order for order, _ in part]
