"""pix2pixHD: its networks, its objective, published weights, and the builder for the registry.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", CVPR 2018.
"""

from gan_meta.models.pix2pixhd.builder import build_pix2pixhd
from gan_meta.models.pix2pixhd.networks import GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator
from gan_meta.models.pix2pixhd.objective import Pix2PixHDObjective
from gan_meta.models.pix2pixhd.weights import load_official_weights

__all__ = [
    "GlobalGenerator",
    "LocalEnhancer",
    "MultiscaleDiscriminator",
    "Pix2PixHDObjective",
    "build_pix2pixhd",
    "load_official_weights",
]
