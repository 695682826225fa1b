"""Opening videos and sound files of strangers with FFmpeg: this one file, and containers that hold their own content."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import av
from av.container import InputContainer

from metapix.errors import InputError

T = TypeVar("T")

# Playlists, which name other files, are not among them.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,flv,asf,ogg,gif,mxf,ivf,av1,obu,m4v,nut,dv,wav,mp3"


def open_media(path: Path) -> InputContainer:
    """A video or sound file, opened.

    Raises:
        InputError: when it is none, or one that names other files or hosts.
        OSError: when it cannot be read.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    try:
        return av.open(str(path.resolve()), options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        raise InputError(f"{path} cannot be read as a video (not a video file, or cut off before its index): {error.strerror}.") from error


def every_packet(packets: Iterator[T]) -> Iterator[T]:
    """All that PyAV's demuxer gives: where streams come to light late in a file, it fails after the last packet."""
    with contextlib.suppress(IndexError):
        yield from packets
