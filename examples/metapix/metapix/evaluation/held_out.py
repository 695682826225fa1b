"""Scores of an adapted pair on frames that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gan_meta as gm
from metapix.data.clip import Clip
from metapix.evaluate import score_clip
from metapix.personalize import draw, pose_inputs


def score_held_out(adapted: gm.GANPair, shots: Clip, rest: Clip, choice: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of :func:`metapix.evaluate.score_clip`, and what was chosen on the way to the adapted pair.

    Args:
        adapted: what a start became by learning from ``shots``.
        shots: the K frames, all that the pair is told of the person.
        rest: frames of the same person that nothing was learned from.
        choice: kept beside the scores, for example ``{"steps": 10, "strength": 0.5}``.
    """
    return {**score_clip(draw(adapted, pose_inputs(adapted, shots, rest)), rest), **choice}
