"""Which conditioning a pair has; a new kind of pair is added here and nowhere else."""

from __future__ import annotations

import gan_meta as gm
from metapix.conditioning.on_reference import OnReference
from metapix.conditioning.pose_only import PoseOnly
from metapix.conditioning.protocol import Conditioning
from metapix.errors import InputError
from metapix.poses.pose_labels import pose_of
from metapix.poses.skeleton import N_JOINTS
from metapix.reference import reference_of


def conditioning_of(pair: gm.GANPair) -> Conditioning:
    """How this pair is told what to draw.

    Raises:
        InputError: when it takes poses of another skeleton.
    """
    channels = pair.model_arguments.get("pose_channels")
    if channels not in (None, N_JOINTS):
        raise InputError(
            f"the model takes {channels} pose channels, but these poses have {N_JOINTS} joints; it was trained on another skeleton"
        )
    reference = reference_of(pair)
    return PoseOnly(pose_of(pair)) if reference == "none" else OnReference(reference)
