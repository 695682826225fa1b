"""Recordings as cameras, phones, browsers and broken programs make them, written with PyAV: any times, any clock, a beep in the sound."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from numpy.typing import NDArray

RATE = 48000
CLOCK = Fraction(1, 90000)
BEEP_SECONDS = 0.2


def record(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    times: Sequence[float],
    *,
    codec: str = "libx264",
    clock: Fraction = CLOCK,
    options: dict[str, str] | None = None,
    tags: dict[str, int] | None = None,
    pixels: str = "yuv420p",
    beep: float | None = None,
    sound: Sequence[tuple[float, float]] = (),
    sound_codec: str = "aac",
) -> Path:
    """A file whose frames are shown at these times.

    Args:
        beep: when a tone of 880 Hz begins, by the file's clock; ``None``: no sound.
        sound: the stretches (from, to) of time in which there is sound; others have none at all.
        tags: attributes of the encoder, such as ``color_trc``.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options={"crf": "12", "bf": "0"} if options is None else options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = pixels, clock
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        heard = None if beep is None else container.add_stream(sound_codec, rate=RATE, layout="mono")
        packets: list[Packet] = []
        for frame, time in zip(frames, times, strict=True):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = round(time / clock), clock
            packets += stream.encode(picture)
        packets += stream.encode(None)
        if heard is not None and beep is not None:
            for piece in tone(beep, sound):
                packets += heard.encode(piece)
            packets += heard.encode(None)
        for packet in sorted(packets, key=lambda packet: float(packet.dts * packet.time_base)):
            container.mux(packet)
    return path


def tone(beep: float, stretches: Sequence[tuple[float, float]]) -> list[av.AudioFrame]:
    """Silence with a tone of a fifth of a second in it, in pieces of 1024 samples with their times."""
    pieces = []
    for begin, end in stretches:
        for first in range(round(begin * RATE), round(end * RATE) - 1023, 1024):
            seconds = (first + np.arange(1024)) / RATE
            wave = 0.5 * np.sin(2 * np.pi * 880 * seconds) * ((seconds >= beep) & (seconds < beep + BEEP_SECONDS))
            piece = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = RATE, first, Fraction(1, RATE)
            pieces.append(piece)
    return pieces


def beeps(path: Path) -> list[float]:
    """When tones begin in a file, in seconds by its own clock."""
    found, loud_until = [], -1.0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            loud = np.flatnonzero(np.abs(frame.to_ndarray()).max(0) > 0.1)
            if len(loud):
                start = float(frame.pts * frame.time_base) + loud[0] / frame.sample_rate
                if start > loud_until + 0.1:
                    found.append(start)
                loud_until = float(frame.pts * frame.time_base) + loud[-1] / frame.sample_rate
    return found


def shown_at(path: Path) -> list[float]:
    """The times of a file's frames by its own clock."""
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]  # type: ignore[operator]
