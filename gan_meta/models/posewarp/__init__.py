"""Posewarp: its generator and discriminator, its objective, pairs and augmentation, published weights, and the builder for the registry.

Balakrishnan et al., "Synthesizing Images of Humans in Unseen Poses", CVPR 2018.
"""

from gan_meta.models.posewarp.augmentation import PosewarpAugmentation, mirror_pairs
from gan_meta.models.posewarp.builder import build_posewarp
from gan_meta.models.posewarp.discriminator import PosewarpDiscriminator
from gan_meta.models.posewarp.inputs import pose_inputs
from gan_meta.models.posewarp.network import PosewarpGenerator
from gan_meta.models.posewarp.objective import PosewarpObjective
from gan_meta.models.posewarp.pairs import FramePairs, PairTasks, frame_pairs, nearest_sources
from gan_meta.models.posewarp.weights import load_official_weights

__all__ = [
    "FramePairs",
    "PairTasks",
    "PosewarpAugmentation",
    "PosewarpDiscriminator",
    "PosewarpGenerator",
    "PosewarpObjective",
    "build_posewarp",
    "frame_pairs",
    "load_official_weights",
    "mirror_pairs",
    "nearest_sources",
    "pose_inputs",
]
