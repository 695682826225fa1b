"""Drawn people who dance: seeded three-dimensional figures in rooms, with exact joints and masks."""

from __future__ import annotations

from metapix.data.drawn.clip import draw_clip, draw_clips, plate
from metapix.data.drawn.noise import Noise

__all__ = ["Noise", "draw_clip", "draw_clips", "plate"]
