"""Posewarp's discriminator, the judge of its second training stage.

Balakrishnan et al., "Synthesizing Images of Humans in Unseen Poses", CVPR 2018, section 3.4.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_meta.models.posewarp.inputs import SIZE_MULTIPLE, ImageSize, image_size
from gan_meta.models.posewarp.layers import SameConv2d
from gan_meta.models.posewarp.network import leaky


class PosewarpDiscriminator(nn.Module):
    """Whether an image is a real one of the target pose, given both poses: the second stage's judge.

    Args:
        n_joints: channels of a pose.
        size: of the images, which the first dense layer depends on.
        base_channels: width of the first convolution; 64 is the published one.

    Raises:
        ValueError: for a size that is no multiple of 32.
    """

    def __init__(self, n_joints: int = 14, size: ImageSize = 256, base_channels: int = 64) -> None:
        super().__init__()
        self.size = image_size(size)
        self.n_joints = n_joints
        width = 4 * base_channels
        self.first = SameConv2d(3, base_channels, 5)
        self.second = SameConv2d(base_channels + 2 * n_joints, 2 * base_channels, 5)
        self.later = nn.ModuleList(SameConv2d(n, width) for n in (2 * base_channels, width, width, width))
        last = (self.size[0] // SIZE_MULTIPLE) * (self.size[1] // SIZE_MULTIPLE) * width
        self.dense = nn.Sequential(nn.Linear(last, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        for layer in self.dense:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, source_pose: Tensor, target_pose: Tensor) -> Tensor:
        """(N, 3, H, W) and two poses (N, n_joints, H/2, W/2) -> (N, 1) logits: their sigmoid is the probability of being real.

        Raises:
            ValueError: for images of another size than it was built for, or poses that do not belong to it.
        """
        if image.shape[1:] != (3, *self.size):
            raise ValueError(f"this discriminator was built for images (N, 3, {self.size[0]}, {self.size[1]}), got {tuple(image.shape)}")
        pose = (len(image), self.n_joints, self.size[0] // 2, self.size[1] // 2)
        if source_pose.shape != pose or target_pose.shape != pose:
            raise ValueError(f"both poses must be {pose}, got {tuple(source_pose.shape)} and {tuple(target_pose.shape)}")
        features = F.max_pool2d(leaky(self.first(image)), 2)
        features = F.max_pool2d(leaky(self.second(torch.cat([features, source_pose, target_pose], 1))), 2)
        for convolution in self.later[:-1]:
            features = F.max_pool2d(leaky(convolution(features)), 2)
        return cast(Tensor, self.dense(leaky(self.later[-1](features)).flatten(1)))
