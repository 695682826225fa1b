"""Video files with PyAV: a streaming reader of upright RGB frames; the writer is in :mod:`metapix.data.video_writer`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from metapix.data.limits import PIXEL_LIMIT, check_pixels
from metapix.data.media import open_media
from metapix.data.video_writer import SYNTHETIC_COMMENT, VideoWriter
from metapix.errors import InputError

__all__ = ["SYNTHETIC_COMMENT", "Frame", "VideoInfo", "VideoWriter", "probe", "read_video"]

log = logging.getLogger(__name__)

_UNSPECIFIED, _BT601, _BT709 = 2, 5, 1  # matrix coefficients of ITU-T H.273
# Without these flags FFmpeg's fast path is about one grey level too dark and repeats chroma instead of interpolating it.
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture: ``image`` (H, W, 3) uint8 RGB, upright; ``index`` in the file; ``time`` in seconds."""

    index: int
    time: float
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class VideoInfo:
    """Size in pixels as shown (upright, square pixels), mean frames per second, and frame count (None: not known)."""

    width: int
    height: int
    fps: float
    frames: int | None


def probe(path: Path) -> VideoInfo:
    """What a video is, from its header and its first picture.

    Raises:
        InputError: the file is missing, not a video, without a video stream, or nothing in it decodes.
    """
    first = next(read_video(path, max_frames=1))
    height, width = first.image.shape[:2]
    with open_media(path) as container:
        stream = _video_stream(container, path)
        return VideoInfo(width, height, _fps(stream), _expected_frames(stream))


def read_video(path: Path, *, max_frames: int | None = None, every: int = 1) -> Iterator[Frame]:
    """Decode a video one frame at a time, in constant memory.

    Rotation metadata and non-square pixels are applied, and all frames have the size of the first. Where the frame rate
    varies, :attr:`Frame.time` has the truth. A damaged or truncated file gives the frames that decode and a logged warning.

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
        stream = _video_stream(container, path)
        stream.thread_type = "AUTO"
        fps, decoder = _fps(stream), _Decoder(container, stream)
        size: tuple[int, int] | None = None
        given = 0
        for index, picture in enumerate(decoder):
            if index % every:
                continue
            if size is None:
                size = _square_pixel_size(picture, stream)
                check_pixels(*size, path)
            time = picture.time if picture.time is not None else index / fps
            yield Frame(index, time, _to_rgb(picture, size))
            given += 1
            if given == max_frames:
                return
        decoder.report(path)


class _Decoder:
    """Iterates over the pictures that decode, and counts what does not."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self.decoded = self.lost = 0

    def __iter__(self) -> Iterator[VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                pictures = packet.decode()
            except av.FFmpegError:
                self.lost += 1  # a demuxer that failed has ended: the next packet is None
                continue
            for picture in pictures:
                if picture.is_corrupt:
                    self.lost += 1
                    continue
                self.decoded += 1
                yield picture

    def report(self, path: Path) -> None:
        """Say what was lost; edit lists hide a frame or two of sound files, so a few missing frames are no news."""
        expected = self._stream.frames
        if not self.decoded:
            raise InputError(f"No frame of {path} could be decoded: the file is empty, damaged or cut off. Try to copy it again.")
        if self.lost or self.decoded < 0.98 * expected - 1:
            of_expected = f" of {expected}" if expected else ""
            log.warning("%s is damaged or cut off: kept the %d%s frames that decode.", path, self.decoded, of_expected)


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:  # the cover picture of a sound file
            if stream.codec_context is None:
                raise InputError(f"{path} holds pictures that cannot be decoded here. Convert it, for example to H.264 in MP4.")
            if stream.width and stream.height:
                check_pixels(stream.width, stream.height, path)
            stream.codec_context.options = {**stream.codec_context.options, "max_pixels": str(PIXEL_LIMIT)}
            return stream
    raise InputError(f"{path} has no video stream (sound only?). Give a file with moving pictures.")


def _fps(stream: VideoStream) -> float:
    return float(stream.average_rate or stream.guessed_rate or stream.base_rate or 30)


def _expected_frames(stream: VideoStream) -> int | None:
    if stream.frames:
        return int(stream.frames)
    if stream.duration and stream.time_base:
        return round(float(stream.duration * stream.time_base) * _fps(stream))
    return None


def _square_pixel_size(picture: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    ratio = stream.sample_aspect_ratio
    return (round(picture.width * ratio) if ratio else picture.width), picture.height


def _to_rgb(picture: VideoFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
    matrix = picture.colorspace
    if matrix == _UNSPECIFIED:  # players then guess from the height
        matrix = _BT709 if picture.height >= 720 else _BT601
    rgb = picture.reformat(width=size[0], height=size[1], format="rgb24", src_colorspace=matrix, interpolation=_EXACT)
    # FFmpeg states the rotation counter-clockwise, as rot90 does.
    return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), round(picture.rotation / 90)))
