"""From a decoded picture to RGB as it is meant to be seen: colours, dynamic range, transparency, pixel shape and orientation."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from metapix.data.hdr import is_hdr, to_sdr
from metapix.data.limits import check_pixels
from metapix.errors import InputError

# Matrix coefficients of ITU-T H.273, and which of them FFmpeg undoes.
_RGB, _BT709, _UNSPECIFIED, _RESERVED, _BT601, _BT2020, _DERIVED = 0, 1, 2, 3, 5, 9, 12
_UNTOLD = {"color_trc": _UNSPECIFIED, "color_primaries": _UNSPECIFIED, "colorspace": _UNSPECIFIED, "color_range": 0}
_KNOWN_MATRICES = (_BT709, 4, _BT601, 6, 7, _BT2020)
_BT2020_PRIMARIES = 9
# Without these flags FFmpeg's fast path is about one grey level too dark and repeats chroma instead of interpolating it.
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_PAPER = 255.0  # what transparent videos are shown on: white
_MOST_DEGREES = 10.0  # that a video may be turned off a quarter turn and still be taken for it


class RgbReader:
    """Makes (H, W, 3) uint8 RGB pictures of a video's decoded ones; all have the size of the first.

    Args:
        stream: where they come from, of which nothing was decoded yet.
        path: its file, for messages.
    """

    def __init__(self, stream: VideoStream, path: Path) -> None:
        self._stream, self._path = stream, path
        self._size: tuple[int, int] | None = None
        self._container_says = {tag: int(getattr(stream.codec_context, tag)) for tag in _UNTOLD}  # decoding writes over it
        # For all pictures: PyAV's default, one for each, takes longer than the work itself and leaves memory in crumbs.
        self._reformatters: defaultdict[str, VideoReformatter] = defaultdict(VideoReformatter)

    def read(self, picture: VideoFrame) -> NDArray[np.uint8]:
        """The next picture.

        Raises:
            InputError: it is too large, or its colours or its orientation cannot be undone.
        """
        if self._size is None:
            ratio = self._stream.sample_aspect_ratio
            self._size = (round(picture.width * ratio) if ratio else picture.width), picture.height
            check_pixels(*self._size, self._path)
        for tag, untold in _UNTOLD.items():
            if int(getattr(picture, tag)) == untold:
                setattr(picture, tag, self._container_says[tag])
        matrix = _matrix_of(picture, self._path)
        try:
            image = self._colours(picture, self._size, matrix)
        except (av.FFmpegError, ValueError) as error:
            kind = picture.format.name
            raise InputError(
                f"{self._path} has pictures of a kind ({kind}) that cannot be read: convert it, for example to H.264."
            ) from error
        return np.ascontiguousarray(upright(image, _display_matrix(picture), self._path))

    def _colours(self, picture: VideoFrame, size: tuple[int, int], matrix: int) -> NDArray[np.uint8]:
        def converted(kind: str) -> NDArray[Any]:
            reformatter = self._reformatters[kind]
            return reformatter.reformat(picture, size[0], size[1], kind, src_colorspace=matrix, interpolation=_EXACT).to_ndarray()

        transparent = picture.format.has_palette or any(component.is_alpha for component in picture.format.components)
        if not is_hdr(picture.color_trc):
            return _composited(converted("rgba")) if transparent else converted("rgb24")
        deep = converted("gbrp16le")  # packed 16-bit RGB comes out wrong with these flags
        image = to_sdr(deep, picture.color_trc, picture.color_primaries)
        return _composited(np.dstack([image, converted("rgba")[..., 3]])) if transparent else image


def _matrix_of(picture: VideoFrame, path: Path) -> int:
    """Which matrix made Y'CbCr of the picture; where its file does not say, what players guess."""
    matrix, is_wide = int(picture.colorspace), picture.color_primaries == _BT2020_PRIMARIES
    if picture.format.is_rgb or matrix in _KNOWN_MATRICES:
        return matrix
    if (is_hdr(picture.color_trc) and matrix == _UNSPECIFIED) or matrix == _DERIVED:
        return _BT2020 if is_wide or is_hdr(picture.color_trc) else _BT709
    if matrix in (_RGB, _UNSPECIFIED, _RESERVED):
        if matrix == _UNSPECIFIED and _side_data(picture, Type.DOVI_METADATA) is not None:
            raise InputError(
                f"{path} is Dolby Vision without an ordinary picture (profile 5), which cannot be read: convert it to HDR10 or SDR."
            )
        return _BT709 if picture.height >= 720 else _BT601
    raise InputError(
        f"{path} has colours of a kind (matrix {matrix} of ITU-T H.273) that cannot be read: convert it, for example to H.264."
    )


def _composited(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) with its alpha over white; what it hides is not seen."""
    colour, alpha = image[..., :3], image[..., 3:]
    if alpha.min() == 255:
        return colour
    share = alpha.astype(np.float32) / 255
    mixed: NDArray[np.uint8] = np.rint(colour * share + _PAPER * (1 - share)).astype(np.uint8)
    return mixed


def _display_matrix(picture: VideoFrame) -> NDArray[np.float64] | None:
    """(2, 2): rows are where the picture's axes, right and down, go; ``None``: as they are."""
    data = _side_data(picture, Type.DISPLAYMATRIX)
    if data is None or len(data) != 36:
        return None
    return np.frombuffer(data, np.int32).reshape(3, 3)[:2, :2].astype(np.float64)


def _side_data(picture: VideoFrame, kind: Type) -> bytes | None:
    entries: Any = picture.side_data  # its stub says that it is a mapping
    return next((bytes(entry) for entry in entries if entry.type is kind), None)


def upright(image: NDArray[np.uint8], matrix: NDArray[np.float64] | None, where: object = "it") -> NDArray[np.uint8]:
    """The picture turned and mirrored as its display matrix says (ISO/IEC 14496-12, 8.3.2): one of eight orientations.

    Args:
        image: (H, W, 3).
        matrix: (2, 2) of any scale: row 0 is where the picture's right goes, row 1 where its down goes, as (right, down).

    Raises:
        InputError: the picture is turned by something else than quarters of a turn.
    """
    if matrix is None or not matrix.any():
        return image
    matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True).clip(1e-9)
    straight = np.rint(matrix)
    if np.abs(matrix - straight).max() > np.sin(np.radians(_MOST_DEGREES)) or abs(round(np.linalg.det(straight))) != 1:
        degrees = np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0]))
        raise InputError(
            f"{where} is to be shown turned by {degrees:.0f} degrees; only quarter turns can be undone: turn it by a video editor."
        )
    if not straight[0, 0]:
        image = image.transpose(1, 0, 2)
        straight = straight[::-1]
    return image[:: int(straight[1, 1]), :: int(straight[0, 0])]
