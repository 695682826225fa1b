"""Writing video files with PyAV: H.264 in MP4 as browsers play it, whole or not at all."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray
from torch import Tensor

from gan_meta.files import replacing
from metapix.data.sound import Sound, SoundTrack
from metapix.errors import InputError
from metapix.files import writable

SYNTHETIC_COMMENT = "Synthetic video: the person's motion was generated with MetaPix and never took place."
"""What :class:`VideoWriter` writes into the file's comment, so that a generated video can be told from a recording."""

_CLOCK = Fraction(1, 90000)  # the unit of time for frames with times of their own
_BT709 = 1  # matrix coefficients of ITU-T H.273


class VideoWriter:
    """Writes H.264 in MP4 that plays in browsers (4:2:0, BT.709, index first); use it in a ``with`` statement.

    Frames are written beside the target under another name, and the file takes its name when all went well: after an error
    there is no new file, and a file that was there before is untouched. An odd width or height is made even by repeating the
    last column or row. The same frames give the same file, byte for byte.

    Args:
        path: ends in ``.mp4``; its folder exists.
        fps: frames per second; the mean, where frames are written with times of their own.
        comment: written to the file's metadata; the default says that the video is synthetic. "" for none.
        crf: x264's quality, 0 (lossless) to 51.
        sound: what is put under the frames, from the first to the end of the last; a file's from its beginning.
        ends: when the last frame stops being shown, in seconds; default: after as long as frames are shown on average.

    Raises:
        InputError: a path that cannot be written, another ending, a bad rate, frames of different sizes, or no frame at all.
    """

    def __init__(
        self,
        path: Path,
        fps: float,
        *,
        comment: str = SYNTHETIC_COMMENT,
        crf: int = 18,
        sound: Sound | Path | None = None,
        ends: float | None = None,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise InputError(f"Videos are written as MP4: give {self.path.name!r} the ending .mp4.")
        writable(self.path)
        if not (math.isfinite(fps) and fps > 0):
            raise InputError(f"A video needs a positive number of frames per second, got {fps}.")
        self._open = contextlib.ExitStack()
        self._rate = Fraction(fps).limit_denominator(1001) if fps >= 1 else 1 / Fraction(1 / fps).limit_denominator(1001)
        self._comment, self._crf = comment, crf
        self._sound_of = Sound(sound) if isinstance(sound, Path) else sound
        self._sound: SoundTrack | None = None
        self._ends = ends
        self._written = 0
        self._time, self._ticks = -math.inf, -1
        self._stream: VideoStream | None = None
        self._shape: tuple[int, ...] = ()
        self._to_bt709 = VideoReformatter()  # one for all frames: each frame's own would take time, and memory that stays

    def __enter__(self) -> VideoWriter:
        with contextlib.ExitStack() as stack:
            partial = stack.enter_context(replacing(self.path, durable=False))
            self._container = av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"})
            stack.callback(self._close)
            self._open = stack.pop_all()
        if self._comment:
            self._container.metadata["comment"] = self._comment
        return self

    def write(self, frame: NDArray[np.uint8] | Tensor, time: float | None = None) -> None:
        """Add a frame: an (H, W, 3) uint8 RGB array, or a (3, H, W) uint8 tensor.

        Args:
            time: when it is shown, in seconds, later than the frame before; give it for all frames, or for none of an even rate.

        Raises:
            InputError: the frame is of another size or type, or not later, or the file cannot be written.
        """
        image = frame.permute(1, 2, 0).cpu().numpy() if isinstance(frame, Tensor) else frame
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"A video frame must be (H, W, 3) uint8, got {image.shape} {image.dtype}.")
        if self._stream is None:
            self._stream, self._shape = self._add_stream(*image.shape[:2], timed=time is not None), image.shape
            if self._sound_of is not None:
                self._sound = SoundTrack(self._sound_of, self._container)
        if image.shape != self._shape:
            raise InputError(f"All frames of {self.path} must have one size: got {image.shape} after {self._shape}.")
        even = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        picture = self._to_bt709.reformat(
            picture, format="yuv420p", dst_colorspace=_BT709, dst_color_range=1, interpolation=Interpolation.AREA
        )
        if time is not None:
            picture.pts, picture.time_base = self._ticks_of(time), _CLOCK
        self._written += 1
        with self._refusals(""):
            self._container.mux(self._stream.encode(picture))
        self._add_sound(time if time is not None else float(self._written / self._rate))

    def _add_stream(self, height: int, width: int, *, timed: bool) -> VideoStream:
        # With macroblock-tree rate control, x264's result for narrow pictures changes from run to run (seen at 64 and 320 wide).
        options = {"crf": str(self._crf), "preset": "medium", "threads": "4", "x264-params": "mbtree=0"}
        if timed:  # reordered, frames would be decoded too early for uneven steps, and the track's length is counted by decoding times
            options["bf"] = "0"
        stream = self._container.add_stream("libx264", rate=self._rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        context = stream.codec_context
        if timed:
            context.time_base = _CLOCK
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1  # limited ("video") range
        return stream

    def _ticks_of(self, time: float) -> int:
        """A time in units of the file's clock, in which no two frames are one."""
        if not self._time < time < math.inf:
            raise InputError(f"Frames of {self.path} must come one after the other: got one at {time} s after one at {self._time} s.")
        self._time, self._ticks = time, max(round(time / _CLOCK), self._ticks + 1)
        return self._ticks

    def _add_sound(self, until: float) -> None:
        if self._sound is not None and self._sound_of is not None:
            with self._refusals(f": the sound of {self._sound_of.file} cannot be put under it; leave it out"):
                self._sound.write_until(until)

    @contextlib.contextmanager
    def _refusals(self, advice: str) -> Iterator[None]:
        """What FFmpeg refuses to write, in words."""
        try:
            yield
        except av.FFmpegError as error:
            raise InputError(f"{self.path} could not be written ({error.strerror}){advice}.") from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            if self._stream is None:
                raise InputError(f"There was no frame to write to {self.path}.")
            if self._ends is None and self._written > 1 and math.isfinite(self._time):
                self._ends = self._time + self._time / (self._written - 1)
            if self._ends is not None:
                self._add_sound(self._ends)
            with self._refusals(""):
                self._container.mux(self._last_packets(self._stream))
                self._container.close()

    def _last_packets(self, stream: VideoStream) -> list[Packet[VideoStream]]:
        """What the encoder still has, the last frame as long as it is to be shown."""
        packets = stream.encode(None)
        if self._ends is not None and packets:
            last = max(packets, key=lambda packet: packet.pts or 0)
            last.duration = packets[-1].duration = max(round(self._ends / last.time_base) - (last.pts or 0), 1)
        return packets

    def _close(self) -> None:
        """Let go of both files; of one that could not be written to its end, nothing more is to be said."""
        with contextlib.suppress(av.FFmpegError):
            self._container.close()
        if self._sound is not None:
            self._sound.close()
