"""From a file to the pictures of its video as they were coded: which stream, which decoder, what is lost, interlacing undone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from metapix.data.limits import PIXEL_LIMIT, check_pixels
from metapix.data.media import every_packet
from metapix.errors import InputError

log = logging.getLogger(__name__)

# FFmpeg's own decoders of these leave the alpha channel out, and what it hides is seen.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream of moving pictures; of several the one that players show.

    Raises:
        InputError: there is none, it cannot be decoded, or its pictures are too large.
    """
    moving = [stream for stream in container.streams.video if not stream.disposition & stream.disposition.attached_pic]
    if not moving:  # a sound file may have a cover picture
        raise InputError(f"{path} has no video stream (sound only?). Give a file with moving pictures.")
    best = container.streams.best("video")
    stream = next((stream for stream in moving if stream is best), moving[0])
    if stream.codec_context is None:
        raise InputError(f"{path} holds pictures that cannot be decoded here. Convert it, for example to H.264 in MP4.")
    if stream.width and stream.height:
        check_pixels(stream.width, stream.height, path)
    stream.codec_context.options = {**stream.codec_context.options, "max_pixels": str(PIXEL_LIMIT)}
    return stream


class Decoder:
    """Iterates over the pictures that decode, whole ones instead of fields, and counts what does not decode."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self._separate = _alpha_decoder(stream)
        self._has_order_only = container.format.name == "avi"
        self._coded_at: dict[int | None, int | None] = {}  # decoding times by display times, of what came before the first picture
        self._delay = 0
        self._last: int | None = None  # the timestamp of the picture before
        self.decoded = self.lost = 0
        self._end = 0.0  # where the last picture ends, in the file's seconds

    def __iter__(self) -> Iterator[tuple[float | None, VideoFrame]]:
        """Timestamps in the file's own seconds, and pictures.

        Raises:
            InputError: interlaced pictures of a kind that cannot be made whole.
        """
        try:
            for picture in deinterlaced(self._pictures()):
                yield picture.time, picture
        except av.FFmpegError as error:
            raise InputError(
                f"{self._container.name} has interlaced pictures that cannot be read ({error.strerror}): convert it."
            ) from error

    def _order(self, picture: VideoFrame) -> None:
        """Give a picture of an AVI file its time.

        AVI counts pictures in the order of coding, so that only decoding times are in order. The first is shown when it is coded.
        """
        if self._last is None and picture.dts is not None:
            shown = self._coded_at.get(picture.pts)
            self._delay = 0 if shown is None else picture.dts - shown
        if picture.dts is not None:
            self._last = picture.dts - self._delay
        elif self._last is not None:  # a decoder gives its last pictures without one
            self._last += 1
        picture.pts = self._last

    def _pictures(self) -> Iterator[VideoFrame]:
        packets = every_packet(self._container.demux(self._stream))
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if self._has_order_only and self._last is None:
                    self._coded_at[packet.pts] = packet.dts
                pictures = self._decode(packet)
            except av.FFmpegError:
                self.lost += 1  # a demuxer that failed has ended: the next packet is None
                continue
            for picture in pictures:
                if picture.is_corrupt:
                    self.lost += 1
                    continue
                self.decoded += 1
                if self._has_order_only:
                    self._order(picture)
                self._end = max(self._end, (picture.time or 0.0) + seconds_of(picture))
                yield picture

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        if self._separate is None:
            return packet.decode()
        return self._separate.decode(packet if packet.size else None)

    def report(self, path: Path) -> None:
        """Say what was lost. Frames that an edit list hides are not lost, and it may hide a frame or two more at the edges."""
        expected, lasts = self._stream.frames, float((self._stream.duration or 0) * (self._stream.time_base or 0))
        if not self.decoded:
            raise InputError(f"No frame of {path} could be decoded: the file is empty, damaged or cut off. Try to copy it again.")
        is_short = self.decoded < 0.98 * expected - 1 and not self._end >= 0.98 * lasts > 0
        if self.lost or is_short:
            of_expected = f" of {expected}" if expected else ""
            log.warning("%s is damaged or cut off: kept the %d%s frames that decode.", path, self.decoded, of_expected)


def _alpha_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """Another decoder than FFmpeg's own, where the stream says that it is transparent and FFmpeg's would not see it."""
    name = _ALPHA_DECODERS.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return None
    context = CodecContext.create(name, "r")
    assert isinstance(context, VideoCodecContext)
    context.options = {"max_pixels": str(PIXEL_LIMIT)}
    return context


def seconds_of(picture: VideoFrame) -> float:
    """How long the file says that a picture is shown; 0 where it does not say."""
    return float(picture.duration * (picture.time_base or 0))


def deinterlaced(pictures: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """The same number of pictures at the same times; those that are marked as two interlaced fields become whole (FFmpeg's bwdif).

    Each shows the moment of its first field. Progressive pictures are handed on as they are.
    """
    graph: Graph | None = None
    kind: tuple[object, ...] = ()
    for picture in pictures:
        if graph is not None and _kind(picture) != kind:  # a filter takes pictures of one kind
            yield from _drain(graph, end=True)
            graph = None
        if graph is None and not picture.interlaced_frame:
            yield picture
            continue
        if graph is None:
            graph, kind = _deinterlacer(picture), _kind(picture)
        graph.vpush(picture)
        yield from _drain(graph)
    if graph is not None:
        yield from _drain(graph, end=True)


def _kind(picture: VideoFrame) -> tuple[object, ...]:
    return picture.width, picture.height, picture.format.name, picture.time_base


def _deinterlacer(picture: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base)
    filtered = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    graph.link_nodes(source, filtered, graph.add("buffersink")).configure()
    return graph


def _drain(graph: Graph, *, end: bool = False) -> Iterator[VideoFrame]:
    if end:
        graph.vpush(None)
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
