"""Limb geometry of an articulated body: similarity transforms between poses, image warps, distances to segments.

Everything is batched, differentiable and in pixel coordinates, x first; (0, 0) is the centre of the top left pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

POSEWARP_LIMBS: tuple[tuple[int, ...], ...] = (
    (0, 1),  # head to neck
    (2, 3), (3, 4),  # right arm
    (5, 6), (6, 7),  # left arm
    (8, 9), (9, 10),  # right leg
    (11, 12), (12, 13),  # left leg
    (2, 5, 8, 11),  # torso
)  # fmt: skip
"""The joints of each limb, in MPII order (head, neck, right arm, left arm, right leg, left leg). Source: Balakrishnan et al., CVPR 2018."""

PADDINGS = ("zeros", "border")


def similarity_transforms(target_points: Tensor, source_points: Tensor, weights: Tensor | None = None) -> Tensor:
    """Least-squares similarities X = a0 + a1 x - b1 y, Y = b0 + b1 x + a1 y from target points to source points.

    This is the direction of a backward lookup: it says where in the source to read for a pixel of the target.

    Args:
        target_points: (..., P, 2).
        source_points: (..., P, 2).
        weights: (..., P), at least 0: how much each point counts; default all the same.

    Returns:
        (..., 2, 3): [[a1, -b1, a0], [b1, a1, b0]]. Where the target points (those with a weight) coincide, the
        translation between the means.

    Raises:
        ValueError: when the points are not (..., P, 2) of one P.
    """
    if target_points.shape[-2:] != source_points.shape[-2:] or target_points.shape[-1:] != (2,):
        raise ValueError(
            f"target and source points must both be (..., P, 2), got {tuple(target_points.shape)} and {tuple(source_points.shape)}"
        )
    share = torch.ones_like(target_points[..., 0]) if weights is None else weights
    share = (share / share.sum(-1, keepdim=True).clamp_min(torch.finfo(share.dtype).tiny)).unsqueeze(-1)
    target_mean, source_mean = ((share * points).sum(-2) for points in (target_points, source_points))
    x, y = ((target_points - target_mean.unsqueeze(-2)) * share.sqrt()).unbind(-1)
    to_x, to_y = ((source_points - source_mean.unsqueeze(-2)) * share.sqrt()).unbind(-1)
    spread = (x * x + y * y).sum(-1)
    single = spread <= torch.finfo(spread.dtype).tiny  # one point, or several at one place: no rotation, no scale
    safe = torch.where(single, torch.ones_like(spread), spread)
    a1 = torch.where(single, torch.ones_like(spread), (x * to_x + y * to_y).sum(-1) / safe)
    b1 = torch.where(single, torch.zeros_like(spread), (x * to_y - y * to_x).sum(-1) / safe)
    linear = torch.stack([torch.stack([a1, -b1], -1), torch.stack([b1, a1], -1)], -2)
    return with_offset(linear, target_mean, source_mean)


def with_offset(linear: Tensor, target_point: Tensor, source_point: Tensor) -> Tensor:
    """The affine map (..., 2, 3) with this linear part (..., 2, 2) that takes one point (..., 2) to another."""
    offset = source_point - (linear @ target_point.unsqueeze(-1)).squeeze(-1)
    return torch.cat([linear, offset.unsqueeze(-1)], -1)


def stretch_transforms(target_segments: Tensor, source_segments: Tensor, across: Tensor) -> Tensor:
    """Affine maps of target segments onto source segments with a scale across of its own.

    Args:
        target_segments: (..., 2, 2): start and end point of each.
        source_segments: (..., 2, 2).
        across: (...): the scale at right angles to the segment. Along it, the scale is the ratio of the lengths.

    Returns:
        (..., 2, 3), to be read like :func:`similarity_transforms`. A target segment without length points upwards.
    """
    target_axis, target_length = direction(target_segments)
    source_axis, source_length = direction(source_segments)
    along = source_length / target_length.clamp_min(_tiny(target_length))
    linear = along[..., None, None] * _outer(source_axis, target_axis)
    linear = linear + across[..., None, None] * _outer(normal(source_axis), normal(target_axis))
    return with_offset(linear, target_segments[..., 0, :], source_segments[..., 0, :])


def direction(segments: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vector (..., 2) and length (...) of segments (..., 2, 2); a segment without length points upwards."""
    step = segments[..., 1, :] - segments[..., 0, :]
    squared = (step * step).sum(-1)
    none = squared <= _tiny(squared)
    length = torch.where(none, torch.ones_like(squared), squared).sqrt()
    upwards = step.new_tensor([0.0, -1.0]).expand_as(step)
    return torch.where(none.unsqueeze(-1), upwards, step / length.unsqueeze(-1)), torch.where(none, torch.zeros_like(length), length)


def normal(axis: Tensor) -> Tensor:
    """Vectors (..., 2) turned by a quarter: (x, y) becomes (-y, x)."""
    return torch.stack([-axis[..., 1], axis[..., 0]], -1)


def pixel_grid(height: int, width: int, *, like: Tensor) -> Tensor:
    """(height, width, 2): x and y of each pixel, with the type and device of ``like``."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device), torch.arange(width, dtype=like.dtype, device=like.device), indexing="ij"
    )
    return torch.stack([x, y], -1)


def segment_coordinates(points: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    """Where points lie as seen from a segment: along it from its start, and across it (to the side of :func:`normal`).

    Args:
        points: (..., H, W, 2) or any shape that broadcasts with it.
        segments: (..., 2, 2).

    Returns:
        Two tensors (..., H, W) in pixels.
    """
    axis, _ = direction(segments)
    offset = points - segments[..., None, None, 0, :]
    return (offset * axis[..., None, None, :]).sum(-1), (offset * normal(axis)[..., None, None, :]).sum(-1)


def segment_distance(points: Tensor, segments: Tensor, along: Tensor | float = 1.0, across: Tensor | float = 1.0) -> Tensor:
    """Distance of points to segments, in units that differ along and across: the caps are half ellipses.

    Args:
        points: (..., H, W, 2) or any shape that broadcasts with it.
        segments: (..., 2, 2).
        along: pixels beyond an end that count as a distance of 1; a number or (...).
        across: pixels beside the segment that count as a distance of 1; a number or (...).

    Returns:
        (..., H, W), 0 on the segment itself.
    """
    u, v = segment_coordinates(points, segments)
    length = direction(segments)[1][..., None, None]
    beyond = (u - u.clamp_min(0).minimum(length)) / _per_segment(along)
    squared = beyond.square() + (v / _per_segment(across)).square()
    nothing = squared <= _tiny(squared)  # the square root has no derivative at 0
    return torch.where(nothing, torch.zeros_like(squared), torch.where(nothing, torch.ones_like(squared), squared).sqrt())


def transform_points(transforms: Tensor, points: Tensor) -> Tensor:
    """Points (..., P, 2) taken through affine maps (..., 2, 3)."""
    return points @ transforms[..., :2].transpose(-1, -2) + transforms[..., None, :, 2]


def warp(image: Tensor, transforms: Tensor, padding: str = "zeros") -> Tensor:
    """Backward warp: each pixel of the result shows the image at the transformed place, bilinearly.

    Args:
        image: (N, C, H, W).
        transforms: (N, 2, 3), from pixels of the result to pixels of ``image``.
        padding: what lies outside the image: ``"zeros"`` or ``"border"`` (the nearest pixel).

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: for another padding, or another number of transforms than images.
    """
    if transforms.shape != (image.shape[0], 2, 3):
        raise ValueError(f"{image.shape[0]} image(s) need transforms of shape ({image.shape[0]}, 2, 3), got {tuple(transforms.shape)}")
    height, width = image.shape[-2:]
    grid = pixel_grid(height, width, like=image).flatten(0, 1)
    return sample(image, transform_points(transforms, grid).view(-1, height, width, 2), padding)


def sample(image: Tensor, places: Tensor, padding: str = "zeros") -> Tensor:
    """The image (N, C, H, W) at places (N, h, w, 2) in its pixels, bilinearly: (N, C, h, w). Padding as for :func:`warp`."""
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
    height, width = image.shape[-2:]
    # With align_corners=False the normalised coordinate is (2 x + 1) / W - 1: exact for whole x when W is a power of two.
    normalised = (2 * places + 1) / places.new_tensor([width, height]) - 1
    return functional.grid_sample(image, normalised, mode="bilinear", padding_mode=padding, align_corners=False)


def _outer(column: Tensor, row: Tensor) -> Tensor:
    return column.unsqueeze(-1) * row.unsqueeze(-2)


def _tiny(like: Tensor) -> float:
    return torch.finfo(like.dtype).tiny


def _per_segment(unit: Tensor | float) -> Tensor | float:
    return unit[..., None, None] if isinstance(unit, Tensor) else unit
