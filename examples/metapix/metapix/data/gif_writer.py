"""Writing animated GIFs with PyAV, a frame at a time: each frame has the 256 colours that suit it best."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.filter import Graph
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from gan_meta.files import replacing
from metapix.errors import InputError
from metapix.files import writable

_CLOCK = Fraction(1, 100)  # a GIF counts hundredths of a second,
_LEAST_TICKS = 2  # browsers show a frame that is to be shown for less as if it were ten,
_MOST_TICKS = 60000  # and the number has 16 bits
_MOST_FPS = 12.5
_MOST_WIDTH = 768


class GifWriter:
    """Writes an animated GIF that repeats forever, whole or not at all; use it in a ``with`` statement.

    Args:
        path: ends in ``.gif``; its folder exists.
        fps: of the frames that are written, on average. Well above 12.5 a second some are left out: every other one or more at an even
            rate, and those that come within a 12.5th of a second where frames have times of their own. Of frames
            that come within a fiftieth of a second the last is kept.
        ends: when the last frame stops being shown, in seconds; default: after as long as frames are shown on average.

    Raises:
        InputError: a path that cannot be written, another ending, or no frame at all.
    """

    def __init__(self, path: Path, fps: float, ends: float | None = None) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".gif":
            raise InputError(f"An animated GIF is written: give {self.path.name!r} the ending .gif.")
        writable(self.path)
        self._open = contextlib.ExitStack()
        self._ends = ends
        self._fps, self._every = fps, max(1, round(fps / _MOST_FPS))
        self._seen, self._slot = 0, -1
        self._ticks = 0
        self._next: tuple[NDArray[np.uint8], int] | None = None  # the next takes its place if it comes too soon
        self._until = 0.0  # where the last frame that was given ends at the average rate
        self._last: Packet[VideoStream] | None = None  # held back until it is known how long it is shown
        self._shown: NDArray[np.uint8] | None = None
        self._stream: VideoStream | None = None

    def __enter__(self) -> GifWriter:
        with contextlib.ExitStack() as stack:
            partial = stack.enter_context(replacing(self.path, durable=False))
            self._container = av.open(str(partial), "w", format="gif", options={"loop": "0"})
            stack.callback(self._close)
            self._open = stack.pop_all()
        return self

    def write(self, frame: NDArray[np.uint8], time: float | None = None) -> None:
        """Add an (H, W, 3) uint8 RGB frame.

        Args:
            time: when it is shown, in seconds since the first; ``None``: at an even rate. Rounding to hundredths does not add up.
        """
        slot = self._seen // self._every if time is None or self._every == 1 else int(time * _MOST_FPS + 1e-6)
        time = self._seen / self._fps if time is None else time
        self._seen, self._until = self._seen + 1, time + 1 / self._fps
        if slot == self._slot:
            return
        self._slot = slot
        ticks = round(time / _CLOCK)
        if self._next is not None:
            before = self._next[1]
            if ticks - before < _LEAST_TICKS:
                ticks = before
            else:
                self._show(*self._next)
        self._next = frame, ticks

    def _show(self, frame: NDArray[np.uint8], ticks: int) -> None:
        if self._shown is None:
            self._graph = _palette_graph(frame.shape[1], frame.shape[0])
        while self._shown is not None and ticks - self._ticks > _MOST_TICKS:
            self._push(self._shown, self._ticks + _MOST_TICKS)
        self._push(frame, ticks)

    def _push(self, frame: NDArray[np.uint8], ticks: int) -> None:
        self._shown, self._ticks = frame, ticks
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = ticks, _CLOCK
        self._graph.push(picture)
        self._drain()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            if self._next is None:
                raise InputError(f"There was no frame to write to {self.path}.")
            self._show(*self._next)
            self._graph.push(None)
            self._drain()
            assert self._last is not None
            lasts = round((self._until if self._ends is None else self._ends) / _CLOCK) - self._ticks
            self._last.duration = min(max(lasts, _LEAST_TICKS), _MOST_TICKS)
            self._container.mux(self._last)
            self._container.close()

    def _close(self) -> None:
        with contextlib.suppress(av.FFmpegError):
            self._container.close()

    def _drain(self) -> None:
        while True:
            try:
                picture = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(picture, VideoFrame)
            if self._stream is None:
                self._stream = self._container.add_stream("gif", rate=1 / _CLOCK)
                self._stream.width, self._stream.height, self._stream.pix_fmt = picture.width, picture.height, "pal8"
            for packet in self._stream.encode(picture):
                if self._last is not None:
                    self._container.mux(self._last)
                self._last = packet


def _palette_graph(width: int, height: int) -> Graph:
    """Frames in; the same frames in 256 colours of their own out."""
    graph = Graph()
    source = graph.add_buffer(width=width, height=height, format=VideoFormat("rgb24"), time_base=_CLOCK)
    scale = graph.add("scale", f"w=min(iw\\,{_MOST_WIDTH}):h=-1")
    split = graph.add("split")
    palette = graph.add("palettegen", "stats_mode=single")
    use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
    sink = graph.add("buffersink")
    source.link_to(scale)
    scale.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
