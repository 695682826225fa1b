"""Posewarp: its generator and discriminator, its objective, published weights, and the builder for the registry.

Balakrishnan et al., "Synthesizing Images of Humans in Unseen Poses", CVPR 2018.
"""

from gan_meta.models.posewarp.builder import build_posewarp
from gan_meta.models.posewarp.discriminator import PosewarpDiscriminator
from gan_meta.models.posewarp.inputs import pose_inputs
from gan_meta.models.posewarp.network import PosewarpGenerator
from gan_meta.models.posewarp.objective import PosewarpObjective
from gan_meta.models.posewarp.weights import load_official_weights

__all__ = [
    "PosewarpDiscriminator",
    "PosewarpGenerator",
    "PosewarpObjective",
    "build_posewarp",
    "load_official_weights",
    "pose_inputs",
]
