"""The sound of one file put under the pictures of another, a little at a time, so that a long video takes no more memory."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import av
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from metapix.data.media import open_media

log = logging.getLogger(__name__)

SoundPacket: TypeAlias = "Packet[AudioStream]"

_AS_IT_IS = ("aac", "mp3")  # what MP4 holds and browsers play; anything else is encoded anew as AAC
_KBITS = 160


class SoundTrack:
    """The first sound track of a file, added to a container that is being written; nothing where there is none that decodes.

    Args:
        source: a video or sound file.
        container: where it goes; pictures are already on their way there.
    """

    def __init__(self, source: Path, container: OutputContainer) -> None:
        self._source = open_media(source)
        self._container = container
        self._waiting: SoundPacket | None = None
        streams = [stream for stream in self._source.streams.audio if _is_usual(stream)]
        self._packets: Iterator[SoundPacket] = self._begin(streams[0]) if streams else iter(())

    def write_until(self, seconds: float) -> None:
        """Add the sound up to this time of the video."""
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = packet
            if packet is None or _time_of(packet) > seconds:
                return
            self._container.mux(packet)
            self._waiting = None

    def close(self) -> None:
        """Close the file that the sound comes from."""
        self._source.close()

    def _begin(self, stream: AudioStream) -> Iterator[SoundPacket]:
        if stream.codec_context.name in _AS_IT_IS:
            return self._copied(stream, self._container.add_stream_from_template(stream))
        rate = stream.codec_context.sample_rate or 48000
        target = self._container.add_stream("aac", rate=rate if rate in (32000, 44100, 48000) else 48000)
        target.bit_rate, target.layout = _KBITS * 1000, "stereo" if stream.codec_context.channels > 1 else "mono"
        return self._encoded(stream, target)

    def _copied(self, stream: AudioStream, target: AudioStream) -> Iterator[SoundPacket]:
        try:
            for packet in self._source.demux(stream):
                if packet.dts is not None and packet.size:
                    packet.stream = target
                    yield packet
        except av.FFmpegError as error:
            log.warning("%s: its sound ends early (%s).", self._source.name, error.strerror)

    def _encoded(self, stream: AudioStream, target: AudioStream) -> Iterator[SoundPacket]:
        resampler = AudioResampler("fltp", target.layout, target.rate)
        try:
            for frame in itertools.chain(self._source.decode(stream), [None]):
                for resampled in resampler.resample(frame):
                    yield from target.encode(resampled)
        except av.FFmpegError as error:
            log.warning("%s: its sound ends early (%s).", self._source.name, error.strerror)
        yield from target.encode(None)


def _is_usual(stream: AudioStream) -> bool:
    """Whether it is sound that people listen to: FFmpeg makes room for whatever rate and channels a damaged header claims."""
    context = stream.codec_context
    return context is not None and 1000 <= context.sample_rate <= 400_000 and 1 <= context.channels <= 64


def _time_of(packet: SoundPacket) -> float:
    return float((packet.pts or 0) * packet.time_base)
