"""High dynamic range (PQ and HLG) as ordinary pictures: curves undone, BT.2020 brought to BT.709, highlights rolled off."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18
"""Transfer characteristics of ITU-T H.273."""

_BT709, _UNSPECIFIED, _BT2020, _P3 = 1, 2, 9, 12  # colour primaries of ITU-T H.273
# From linear light of these primaries to that of BT.709, all with white D65 (BT.2087 for the first).
_TO_BT709 = {
    _BT2020: ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730)),
    _P3: ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
    _BT709: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
_WHITE_NITS = 203.0  # what BT.2408 calls HDR reference white: 58% of PQ's signal,
_WHITE_SCENE = 0.265  # and 75% of HLG's
_KNEE = 0.92  # of the signal: what is brighter is rolled off, so that white comes out at 250 and highlights up to 255
_BRIGHTEST = 4.0  # times white; by then the shoulder has long reached 255
_FINE = 16383  # entries of the table back to 8 bits, on a square-root scale
_ROWS = 64  # at once: the intermediate numbers stay in the processor's cache


def is_hdr(transfer: int) -> bool:
    """Whether a transfer characteristic is one of high dynamic range."""
    return transfer in (PQ, HLG)


def to_sdr(signal: NDArray[np.uint16], transfer: int, primaries: int) -> NDArray[np.uint8]:
    """The same picture in sRGB.

    PQ is taken for the light of the display (SMPTE ST 2084), HLG for that of the scene (BT.2100's inverse OETF: BT.2408's
    scene-referred way, in which HLG's and the ordinary display's own system gammas take each other's place). Reference white,
    203 cd/m2 or 75% HLG, becomes white; up to 92% of sRGB's signal colours are kept as they are, and a tanh rolls off what is brighter.

    Args:
        signal: (H, W, 3) R'G'B', 0 to 65535.
        transfer: :data:`PQ` or :data:`HLG`.
        primaries: H.273's number; BT.2020 where it is unspecified or not known here.

    Returns:
        (H, W, 3) uint8.
    """
    light, matrix, signals = _light_of(transfer), np.array(_TO_BT709.get(primaries, _TO_BT709[_BT2020]), np.float32), _signals()
    result = np.empty(signal.shape, np.uint8)
    for first in range(0, len(signal), _ROWS):
        linear = cv2.transform(light[signal[first : first + _ROWS]], matrix)
        np.clip(linear, 0, _BRIGHTEST, out=linear)
        scale = _FINE / np.sqrt(_BRIGHTEST)
        result[first : first + _ROWS] = signals[(np.sqrt(linear, out=linear) * scale + 0.5).astype(np.uint16)]
    return result


@functools.cache
def _light_of(transfer: int) -> NDArray[np.float32]:
    """(65536,) light of each signal, where white is 1."""
    signal = np.linspace(0, 1, 65536)
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        return np.asarray(scene / _WHITE_SCENE, np.float32)
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    nits = 10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return np.asarray(nits / _WHITE_NITS, np.float32)


@functools.cache
def _signals() -> NDArray[np.uint8]:
    """sRGB's 8-bit signal of light, with the shoulder; entry i is of the light ``_BRIGHTEST * (i / _FINE) ** 2``."""
    light = _BRIGHTEST * (np.arange(_FINE + 1) / _FINE) ** 2
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    shoulder = _KNEE + (1 - _KNEE) * np.tanh((signal - _KNEE) / (1 - _KNEE))
    return np.asarray(np.rint(255 * np.where(signal > _KNEE, shoulder, signal)), np.uint8)
