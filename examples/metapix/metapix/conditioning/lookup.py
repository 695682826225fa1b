"""Which conditioning a pair has; a new kind of pair is added here and nowhere else."""

from __future__ import annotations

import gan_meta as gm
from gan_meta.models.limbs import POSEWARP_LIMBS
from gan_meta.naming import unknown_name
from metapix.conditioning.from_source import SOURCES, FromSource
from metapix.conditioning.on_reference import OnReference
from metapix.conditioning.pose_only import PoseOnly
from metapix.conditioning.protocol import Conditioning
from metapix.errors import InputError
from metapix.poses.pose_labels import pose_of
from metapix.poses.posewarp_joints import NAMES as POSEWARP_JOINTS
from metapix.poses.skeleton import N_JOINTS
from metapix.reference import reference_of

_LIMBS = {"n_joints": len(POSEWARP_JOINTS), "n_limbs": len(POSEWARP_LIMBS)}


def conditioning_of(pair: gm.GANPair, source: str = SOURCES[0]) -> Conditioning:
    """How this pair is told what to draw.

    Args:
        source: which of the K frames a Posewarp pair moves, one of :data:`metapix.conditioning.from_source.SOURCES`; others have no use
            for it.

    Raises:
        InputError: when it takes poses of another skeleton.
        ValueError: for an unknown source.
    """
    channels = pair.model_arguments.get("pose_channels")
    if channels not in (None, N_JOINTS):
        raise InputError(
            f"the model takes {channels} pose channels, but these poses have {N_JOINTS} joints; it was trained on another skeleton"
        )
    if source not in SOURCES:
        raise ValueError(unknown_name("source", source, SOURCES))
    pose, reference = pose_of(pair), reference_of(pair)
    if pose == "joints":
        _check_limbs(pair)
        return FromSource(source)
    return PoseOnly(pose) if reference == "none" else OnReference(reference)


def _check_limbs(pair: gm.GANPair) -> None:
    built = tuple(pair.model_arguments.get(name, count) for name, count in _LIMBS.items())
    if built != tuple(_LIMBS.values()):
        raise InputError(
            f"the model has {built[0]} joints and {built[1]} limbs, but these poses have {_LIMBS['n_joints']} and {_LIMBS['n_limbs']}"
        )
