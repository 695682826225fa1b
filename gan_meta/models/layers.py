"""What the small models share: normalisation by name, and the initial weights that DCGAN made customary."""

from __future__ import annotations

from torch import nn

from gan_meta.naming import unknown_name

NORMS = ("batch", "instance", "none")


def normalization(kind: str, channels: int) -> list[nn.Module]:
    """The layer of this kind for feature maps (N, channels, H, W), as a list that is empty for ``"none"``.

    ``"batch"`` mixes the samples of a batch, so the engine then plays repeated samples as repeats; ``"instance"`` does not.

    Raises:
        ValueError: for an unknown kind, with the nearest.
    """
    if kind not in NORMS:
        raise ValueError(unknown_name("norm", kind, NORMS))
    if kind == "none":
        return []
    return [nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels)]


def needs_bias(kind: str) -> bool:
    """Whether a convolution in front of this normalisation has any use for a bias: not where a batch norm adds its own."""
    return kind != "batch"


def initialize(network: nn.Module) -> None:
    """Convolution weights from N(0, 0.02), batch-norm scales from N(1, 0.02); biases start at 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
