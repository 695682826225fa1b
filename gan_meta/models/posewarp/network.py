"""Posewarp's generator: three U-Nets around a warp of the limbs.

Balakrishnan et al., "Synthesizing Images of Humans in Unseen Poses", CVPR 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_meta.models.posewarp.inputs import SIZE_MULTIPLE
from gan_meta.models.posewarp.layers import PADDINGS, SameConv2d, upsample, warp_padded
from gan_meta.naming import unknown_name

SLOPE = 0.2
"""Of the leaky ReLU."""

_KERNELS = (7, *(3,) * 10)
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1)
_SKIPS = (8, 6, 4, 2, 0)
"""The encoder's convolutions whose outputs the decoder's five take in."""


class PosewarpUNet(nn.Module):
    """An image and a pose in, features at full resolution out.

    Args:
        in_channels: of the image; the pose joins at half resolution.
        n_joints: channels of the pose.
        base_channels: width of the first two convolutions; the others have twice that.
        out_channels: width of the last.
    """

    def __init__(self, in_channels: int, n_joints: int, base_channels: int, out_channels: int) -> None:
        super().__init__()
        encoder = [base_channels] * 2 + [2 * base_channels] * 9
        decoder = [2 * base_channels] * 4 + [out_channels]
        inputs = [in_channels, *encoder]
        inputs[2] += n_joints
        self.encoder = nn.ModuleList(
            SameConv2d(n, width, kernel, stride) for n, width, kernel, stride in zip(inputs, encoder, _KERNELS, _STRIDES, strict=False)
        )
        inputs = [encoder[-1], *decoder]
        self.decoder = nn.ModuleList(SameConv2d(n + encoder[skip], width) for n, skip, width in zip(inputs, _SKIPS, decoder, strict=False))

    def forward(self, images: Tensor, pose: Tensor) -> Tensor:
        """(N, in_channels, H, W), (N, n_joints, H/2, W/2) -> (N, out_channels, H, W)."""
        outputs: list[Tensor] = []
        features = images
        for number, convolution in enumerate(self.encoder):
            if number == 2:
                features = torch.cat([features, pose], 1)
            features = leaky(convolution(features))
            outputs.append(features)
        for skip, convolution in zip(_SKIPS, self.decoder, strict=True):
            features = leaky(convolution(torch.cat([upsample(features), outputs[skip]], 1)))
        return features


class PosewarpGenerator(nn.Module):
    """Cuts the source into limbs and background, moves the limbs, completes the background, and puts both together.

    Images are RGB in [-1, 1]. The published weights take and give BGR: their loader reorders them.

    Args:
        n_joints: channels of a pose.
        n_limbs: limbs that move; there is one mask more, the background's.
        base_channels: 64 is the published width; even.
        padding: what a limb's warp reads beyond the source: ``"published"``, ``"border"`` or ``"zeros"``.

    Raises:
        ValueError: for an odd width, numbers below 1, or an unknown padding.
    """

    def __init__(self, n_joints: int = 14, n_limbs: int = 10, base_channels: int = 64, padding: str = "published") -> None:
        super().__init__()
        if padding not in PADDINGS:
            raise ValueError(unknown_name("warp padding", padding, PADDINGS))
        if n_joints < 1 or n_limbs < 1 or base_channels < 2 or base_channels % 2:
            raise ValueError(
                f"a Posewarp generator needs joints, limbs and an even base_channels, got n_joints={n_joints}, n_limbs={n_limbs}, "
                f"base_channels={base_channels}"
            )
        self.n_joints = n_joints
        self.n_limbs = n_limbs
        self.padding = padding
        # The order of the published weights: keep it when you add to this.
        self.mask_unet = PosewarpUNet(3, n_joints, base_channels, base_channels // 2)
        self.mask_head = SameConv2d(base_channels // 2, n_limbs + 1)
        self.background_unet = PosewarpUNet(4, n_joints, base_channels, base_channels)
        self.background_head = SameConv2d(base_channels, 3)
        self.foreground_unet = PosewarpUNet(3 * n_limbs, n_joints, base_channels, base_channels)
        self.foreground_head = SameConv2d(base_channels, 3)
        self.merge_head = SameConv2d(base_channels, 1)

    def forward(self, source: Tensor, source_pose: Tensor, target_pose: Tensor, log_masks: Tensor, transforms: Tensor) -> Tensor:
        """The person of the source in the target pose.

        Args:
            source: (N, 3, H, W), RGB in [-1, 1]; H and W multiples of 32.
            source_pose, target_pose: (N, n_joints, H/2, W/2); these and the rest as ``pose_inputs`` makes them.
            log_masks: (N, n_limbs + 1, H, W), background first.
            transforms: (N, n_limbs + 1, 2, 3), background first.

        Returns:
            (N, 3, H, W) in [-1, 1].

        Raises:
            ValueError: when an argument has another shape.
        """
        return self.parts(source, source_pose, target_pose, log_masks, transforms)["image"]

    def parts(self, source: Tensor, source_pose: Tensor, target_pose: Tensor, log_masks: Tensor, transforms: Tensor) -> dict[str, Tensor]:
        """What the image is put together from; arguments as for :meth:`forward`.

        Returns:
            ``"masks"`` (N, n_limbs + 1, H, W), background first, which sum to 1; ``"background"`` and ``"foreground"`` (N, 3, H, W) in
            [-1, 1]; ``"foreground_mask"`` (N, 1, H, W) in [0, 1]; and ``"image"``.

        Raises:
            ValueError: when an argument has another shape.
        """
        poses = {"source_pose": source_pose, "target_pose": target_pose}
        self._check_shapes(source, {**poses, "log_masks": log_masks, "transforms": transforms})
        masks = (self.mask_head(self.mask_unet(source, source_pose)) + log_masks).softmax(1)
        known_background = torch.cat([source * masks[:, :1], masks[:, :1]], 1)
        background = self.background_head(self.background_unet(known_background, source_pose)).tanh()
        features = self.foreground_unet(self.warped_limbs(source, masks, transforms), target_pose)
        foreground = self.foreground_head(features).tanh()
        foreground_mask = self.merge_head(features).sigmoid()
        image = foreground * foreground_mask + background * (1 - foreground_mask)
        return {
            "masks": masks,
            "background": background,
            "foreground": foreground,
            "foreground_mask": foreground_mask,
            "image": image,
        }

    def warped_limbs(self, source: Tensor, masks: Tensor, transforms: Tensor) -> Tensor:
        """Each limb cut out of the source and moved to where the target pose has it.

        Args:
            source, transforms: as for :meth:`forward`.
            masks: (N, n_limbs + 1, H, W), of :meth:`parts`.

        Returns:
            (N, 3 * n_limbs, H, W): three channels a limb.
        """
        limbs = source.unsqueeze(1) * masks[:, 1:].unsqueeze(2)
        warped = warp_padded(limbs.flatten(0, 1), transforms[:, 1:].flatten(0, 1), self.padding)
        return warped.view(len(source), 3 * self.n_limbs, *source.shape[2:])

    def _check_shapes(self, source: Tensor, others: Mapping[str, Tensor]) -> None:
        if source.ndim != 4 or source.shape[1] != 3 or any(side % SIZE_MULTIPLE for side in source.shape[2:]) or not source.numel():
            raise ValueError(
                f"Posewarp takes RGB images (N, 3, H, W) whose height and width are multiples of {SIZE_MULTIPLE}, got {tuple(source.shape)}"
            )
        n, _, height, width = source.shape
        pose = (n, self.n_joints, height // 2, width // 2)
        expected = {
            "source_pose": pose,
            "target_pose": pose,
            "log_masks": (n, self.n_limbs + 1, height, width),
            "transforms": (n, self.n_limbs + 1, 2, 3),
        }
        for name, tensor in others.items():
            if tensor.shape != expected[name]:
                raise ValueError(
                    f"with source images of shape {tuple(source.shape)}, {name} must be {expected[name]}, got {tuple(tensor.shape)}; "
                    f"make it with pose_inputs(source_joints, target_joints, size=({height}, {width}))"
                )


def leaky(outputs: Tensor) -> Tensor:
    """The activation behind every convolution but the last ones."""
    # In place: the convolution does not need its own output, so only one of the two is kept for the backward pass.
    return F.leaky_relu(outputs, SLOPE, inplace=True)
