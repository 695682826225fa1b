"""MetaPix: few-shot video retargeting by meta-learned GANs, built on gan_meta."""

__version__ = "0.1.0"
