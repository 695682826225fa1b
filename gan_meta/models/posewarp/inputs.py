"""What Posewarp sees of two poses: joint maps, log limb masks and limb transforms, made from joints in one go, on their device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_meta.models.limbs import POSEWARP_LIMBS, pixel_grid, similarity_transforms

ImageSize = int | Sequence[int]
"""A square's side, or (height, width), in pixels."""

SIZE_MULTIPLE = 32
"""The U-Nets halve five times."""

JOINT_SIGMA = 7 / 4
"""Of a joint's Gaussian, in pixels of the half-size pose map."""

LEAST_VARIANCE_ALONG = 5.0
VARIANCE_PER_SQUARED_LENGTH = 1 / 1.5
VARIANCE_ACROSS = 11.0**2
TORSO_VARIANCE_ACROSS = 13.0**2

_COINCIDING = 1e-6
"""Joints whose squared distances to their mean sum to less than this, in square pixels, give a limb no direction and no size."""


def pose_inputs(
    source_joints: Tensor,
    target_joints: Tensor,
    size: ImageSize = 256,
    limbs: Sequence[Sequence[int]] = POSEWARP_LIMBS,
    limb_width: float = 1.0,
) -> dict[str, Tensor]:
    """The generator's pose arguments: what it is told of the pose that the source has and of the one it should take.

    All are differentiable in the joints. A joint that is not finite (NaN) counts as missing: its map is empty, and a limb that
    needs it has an empty mask and the identity as its transform. Source: Balakrishnan et al., CVPR 2018, sections 3.1 and 3.2.

    Args:
        source_joints, target_joints: (N, J, 2), x and y in pixels of the image; they may lie outside it.
        size: of the images, a multiple of 32: a number or (height, width).
        limbs: each limb's joints: two, or four (first pair to second pair, a torso).
        limb_width: of the limb masks, relative to the published one, which suits people in 256 x 256 pixels.

    Returns:
        ``"source_pose"`` and ``"target_pose"`` (N, J, H/2, W/2) in [0, 1], ``"log_masks"`` (N, L + 1, H, W), background first, and
        ``"transforms"`` (N, L + 1, 2, 3), from pixels of the target to pixels of the source.

    Raises:
        ValueError: for joints of another shape, a size that is no multiple of 32, or limbs that name joints that are not there.
    """
    extent = image_size(size)
    _check_joints(source_joints, target_joints, limbs)
    return {
        "source_pose": pose_maps(source_joints, extent),
        "target_pose": pose_maps(target_joints, extent),
        "log_masks": torch.log(limb_masks(source_joints, extent, limbs, limb_width) + 1e-10),
        "transforms": limb_transforms(source_joints, target_joints, limbs),
    }


def pose_maps(joints: Tensor, size: ImageSize) -> Tensor:
    """A Gaussian a joint at half the resolution, all zero for a joint that is missing or outside.

    Args:
        joints: (N, J, 2) in pixels of the image.
        size: of the image.

    Returns:
        (N, J, H/2, W/2) in [0, 1].
    """
    height, width = (side // 2 for side in image_size(size))
    x, y = (_where_finite(joints) / 2).unbind(-1)
    inside = (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
    columns, rows = (torch.arange(length, dtype=x.dtype, device=x.device) for length in (width, height))
    # A round Gaussian is a product: exponentials of two lines instead of a whole map.
    across, down = (torch.exp(-(line - place.unsqueeze(-1)).square() / (2 * JOINT_SIGMA**2)) for line, place in ((columns, x), (rows, y)))
    maps = down.unsqueeze(-1) * across.unsqueeze(-2)
    return torch.where(inside[..., None, None], maps, maps.new_zeros(()))


def limb_masks(joints: Tensor, size: ImageSize, limbs: Sequence[Sequence[int]] = POSEWARP_LIMBS, limb_width: float = 1.0) -> Tensor:
    """A soft mask a limb, each an oriented Gaussian along it, and before them the background's: 1 - their maximum.

    Args:
        joints: (N, J, 2) in pixels.
        size: of the image.
        limb_width: as for :func:`pose_inputs`.

    Returns:
        (N, L + 1, H, W) in [0, 1].

    Raises:
        ValueError: for a width that is not positive.
    """
    if not 0 < limb_width < float("inf"):
        raise ValueError(f"limb_width must be a positive number, got {limb_width}")
    places = _where_finite(joints)
    start, end = (places[:, index].mean(2) for index in _limb_ends(limbs, joints.device))
    step = start - end
    squared_length = step.square().sum(-1)
    point = squared_length <= _COINCIDING  # a limb without length lies along x
    length = torch.where(point, torch.ones_like(squared_length), squared_length).sqrt()
    axis = torch.where(point.unsqueeze(-1), step.new_tensor([1.0, 0.0]), step / length.unsqueeze(-1))
    offset = pixel_grid(*image_size(size), like=places) - ((start + end) / 2)[:, :, None, None]
    x, y = offset.unbind(-1)
    axis_x, axis_y = axis[..., None, None, :].unbind(-1)
    along = (squared_length * VARIANCE_PER_SQUARED_LENGTH).clamp_min(LEAST_VARIANCE_ALONG * limb_width**2)[..., None, None]
    across = places.new_tensor([TORSO_VARIANCE_ACROSS if len(limb) == 4 else VARIANCE_ACROSS for limb in limbs])[:, None, None]
    across = across * limb_width**2
    exponent = (axis_x * x + axis_y * y).square() / (2 * along) + (axis_x * y - axis_y * x).square() / (2 * across)
    values = torch.where(_present(joints, limbs)[..., None, None], torch.exp(-exponent), exponent.new_zeros(()))
    masks = values / (values.amax((2, 3), keepdim=True) + 1e-6)
    return torch.cat([1 - masks.amax(1, keepdim=True), masks], 1)


def limb_transforms(source_joints: Tensor, target_joints: Tensor, limbs: Sequence[Sequence[int]] = POSEWARP_LIMBS) -> Tensor:
    """The identity for the background, then for each limb the similarity that takes its target joints to its source joints.

    Args:
        source_joints, target_joints: (N, J, 2) in pixels.

    Returns:
        (N, L + 1, 2, 3). The identity also for a limb with a missing joint, or whose target joints coincide.
    """
    # Naming both joints of a limb twice leaves the least squares as they are, and makes all limbs one batch.
    index = torch.tensor([tuple(limb) * (4 // len(limb)) for limb in limbs], device=source_joints.device)
    source, target = (_where_finite(joints)[:, index] for joints in (source_joints, target_joints))
    spread = (target - target.mean(2, keepdim=True)).square().sum((-1, -2))
    usable = _present(source_joints, limbs) & _present(target_joints, limbs) & (spread > _COINCIDING)
    # Taken from itself to itself, a stand-in gives the identity exactly and passes no gradient on.
    stand_in = source.new_tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    source, target = (torch.where(usable[..., None, None], points, stand_in) for points in (source, target))
    transforms = similarity_transforms(target, source)
    identity = torch.eye(2, 3, dtype=source.dtype, device=source.device).expand(len(source), 1, 2, 3)
    return torch.cat([identity, transforms], 1)


def image_size(size: ImageSize) -> tuple[int, int]:
    """(height, width) of a size.

    Raises:
        ValueError: unless it is one or two positive multiples of 32.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or any(side < SIZE_MULTIPLE or side % SIZE_MULTIPLE for side in sides):
        raise ValueError(f"Posewarp needs an image size that is a multiple of {SIZE_MULTIPLE}: a number or (height, width), got {size}")
    return sides[0], sides[1]


def _check_joints(source: Tensor, target: Tensor, limbs: Sequence[Sequence[int]]) -> None:
    if source.ndim != 3 or source.shape[-1] != 2 or source.shape != target.shape or not source.is_floating_point():
        raise ValueError(
            "source and target joints must both be (N, J, 2) floating point pixel coordinates, "
            f"got {tuple(source.shape)} of {source.dtype} and {tuple(target.shape)} of {target.dtype}"
        )
    for number, limb in enumerate(limbs):
        if len(limb) not in (2, 4) or not all(0 <= joint < source.shape[1] for joint in limb):
            raise ValueError(f"limb {number} must name two or four of the joints 0 to {source.shape[1] - 1}, got {tuple(limb)}")


def _limb_ends(limbs: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """(L, 2) each: the joints whose mean is a limb's start, and its end."""
    halves = [(tuple(limb), len(limb) // 2) for limb in limbs]
    starts = [limb[:half] * (2 // half) for limb, half in halves]
    ends = [limb[half:] * (2 // half) for limb, half in halves]
    return torch.tensor(starts, device=device), torch.tensor(ends, device=device)


def _where_finite(joints: Tensor) -> Tensor:
    """The joints with the missing ones at the origin, where no gradient comes from."""
    return torch.where(joints.isfinite().all(-1, keepdim=True), joints, joints.new_zeros(()))


def _present(joints: Tensor, limbs: Sequence[Sequence[int]]) -> Tensor:
    """(N, L): whether all joints of a limb are there."""
    finite = joints.isfinite().all(-1)
    return torch.stack([finite[:, list(limb)].all(-1) for limb in limbs], 1)
