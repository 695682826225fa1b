"""The sound of one file put under the pictures of another, a little at a time, so that a long video takes no more memory."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from numpy.typing import NDArray

from metapix.data.media import every_packet, open_media

log = logging.getLogger(__name__)

SoundPacket: TypeAlias = "Packet[AudioStream]"
Samples: TypeAlias = "NDArray[np.float32]"

_RATES = (32000, 44100, 48000)  # that every player knows; other sound becomes the last
_KBITS = 192
_LOOSE_SECONDS = 0.04  # timestamps are rounded and jitter; nobody hears sound that is off by less
_LEAP_SECONDS = 0.5  # a timestamp that is off by more has to be confirmed by the next; earlier, it is of a clock that was set back,
_PAUSE_SECONDS = 3600.0  # and one that is later by more, of one that was set forward
_NEAR_SECONDS = 1.0


@dataclass(frozen=True)
class Sound:
    """The sound that belongs to pictures.

    Attributes:
        file: a video or sound file; its first sound track is meant.
        shifts: what is added to the file's own seconds to get the pictures' (:attr:`metapix.data.video.Frame.shift`): at the
            beginning, and after each time that the pictures' clock was set.
    """

    file: Path
    shifts: tuple[float, ...] = (0.0,)


class SoundTrack:
    """A file's first sound track, added as AAC to a container that is being written; nothing where there is none that decodes.

    Every sample comes at its own time: silence where the file has none, and what is earlier than the first picture is left out.

    Args:
        sound: what to add.
        container: where it goes; pictures are already on their way there.
    """

    def __init__(self, sound: Sound, container: OutputContainer) -> None:
        self._source = open_media(sound.file)
        self._container = container
        self._waiting: SoundPacket | None = None
        streams = [stream for stream in self._source.streams.audio if _is_usual(stream)]
        self._packets: Iterator[SoundPacket] = iter(())
        if streams:
            rate, channels = streams[0].codec_context.sample_rate, streams[0].codec_context.channels
            target = container.add_stream("aac", rate=rate if rate in _RATES else _RATES[-1])
            target.bit_rate, target.layout = _KBITS * 1000, "stereo" if channels > 1 else "mono"
            self._packets = self._encoded(streams[0], target, sound.shifts)

    def write_until(self, seconds: float) -> None:
        """Add the sound up to this time of the video."""
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = packet
            if packet is None or float((packet.pts or 0) * packet.time_base) > seconds:
                return
            self._container.mux(packet)
            self._waiting = None

    def close(self) -> None:
        """Close the file that the sound comes from."""
        self._source.close()

    def _encoded(self, stream: AudioStream, target: AudioStream, shifts: tuple[float, ...]) -> Iterator[SoundPacket]:
        written = 0
        for samples in Placed(target.rate, target.layout.name, shifts).place(self._decoded(stream)):
            frame = AudioFrame.from_ndarray(samples, format="fltp", layout=target.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = target.rate, written, Fraction(1, target.rate)
            written += samples.shape[1]
            yield from target.encode(frame)
        yield from target.encode(None)

    def _decoded(self, stream: AudioStream) -> Iterator[AudioFrame]:
        lost = 0
        packets = every_packet(self._source.demux(stream))
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                frames = packet.decode()
            except av.FFmpegError:
                lost += 1
                continue
            yield from frames
        if lost:
            log.warning("%s: %d pieces of its sound are damaged; there is silence in their place.", self._source.name, lost)


class Placed:
    """Puts decoded sound where it belongs on one line of samples that begins with the first picture.

    Args:
        rate, layout: of the samples that come out.
        shifts: as of :class:`Sound`.
    """

    def __init__(self, rate: int, layout: str, shifts: tuple[float, ...]) -> None:
        self._rate, self._layout = rate, layout
        self._shift, self._next_shifts = shifts[0], list(shifts[1:])
        self._resampler: AudioResampler | None = None
        self._kind: tuple[object, ...] = ()
        self._given = 0  # samples so far
        self._skip = 0  # samples to leave out before the next
        self._heard: float | None = None  # where the frame before ended

    def place(self, frames: Iterator[AudioFrame]) -> Iterator[Samples]:
        """Pieces (channels, n) of at most a second, one after the other."""
        for frame, following in itertools.pairwise(itertools.chain(frames, [None])):
            assert frame is not None
            start = self._start_of(frame, following)
            is_first = self._heard is None
            self._heard = start + frame.samples / frame.sample_rate
            ahead = round(start * self._rate) - self._given
            if is_first or abs(ahead + self._skip) > _LOOSE_SECONDS * self._rate:
                yield from self._silence(ahead)
                self._skip = max(-ahead, 0)
            for resampled in self._resampled(frame):
                yield from self._piece(resampled)
        if self._resampler is not None:
            for resampled in self._resampler.resample(None):
                yield from self._piece(resampled)

    def _start_of(self, frame: AudioFrame, following: AudioFrame | None) -> float:
        """When a frame is heard, by the pictures' clock."""
        start = self._time_of(frame)
        if start is None:
            return self._heard or 0.0
        if self._heard is None or abs(start - self._heard) <= _LEAP_SECONDS:
            return start
        after = None if following is None else self._time_of(following)
        if after is not None and abs(after - self._heard - frame.samples / frame.sample_rate) <= _LEAP_SECONDS:
            return self._heard  # a timestamp that leaves the others for one frame
        if self._heard < start <= self._heard + _PAUSE_SECONDS:
            return start
        shift = self._shift + self._heard - start  # as if nothing had happened, or as the pictures' clock was set, if that is near
        near = [pictures for pictures in self._next_shifts[:1] if abs(pictures - shift) < _NEAR_SECONDS]
        self._next_shifts = self._next_shifts[1:]
        start, self._shift = start - self._shift, (near or [shift])[0]
        return start + self._shift

    def _time_of(self, frame: AudioFrame) -> float | None:
        return None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base) + self._shift

    def _silence(self, count: int) -> Iterator[Samples]:
        channels = 1 if self._layout == "mono" else 2
        while count > 0:
            piece = np.zeros((channels, min(count, self._rate)), np.float32)
            count -= piece.shape[1]
            self._given += piece.shape[1]
            yield piece

    def _piece(self, frame: AudioFrame) -> Iterator[Samples]:
        samples = np.asarray(frame.to_ndarray(), np.float32)
        skipped = min(self._skip, samples.shape[1])
        self._skip -= skipped
        if skipped < samples.shape[1]:
            self._given += samples.shape[1] - skipped
            yield np.ascontiguousarray(samples[:, skipped:])

    def _resampled(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or kind != self._kind:  # a resampler takes frames of one kind
            if self._resampler is not None:
                yield from self._resampler.resample(None)
            self._resampler, self._kind = AudioResampler("fltp", self._layout, self._rate), kind
        yield from self._resampler.resample(frame)


def _is_usual(stream: AudioStream) -> bool:
    """Whether it is sound that people listen to: FFmpeg makes room for whatever rate and channels a damaged header claims."""
    context = stream.codec_context
    return context is not None and 1000 <= context.sample_rate <= 400_000 and 1 <= context.channels <= 64
