"""A first, plain puppet, as the baseline of `puppet.py`: ten limbs of the nearest frame, blended by distance, nothing in front of anything.

Each limb is the image of one source frame under the similarity that takes its segment there to its segment here, stretched along the
limb; a pixel is the mean of the limbs, weighted by exp(-d^2 / 2 w^2)^4 and the person mask; the head ends at the nose.
"""

from __future__ import annotations

import torch
from metapix.data.clip import Clip
from metapix.poses.pose_input import to_unit
from metapix.poses.skeleton import INDEX
from metapix.puppet.body import HEAD, PARTS, TORSO, Body, measure, proportions
from metapix.puppet.plate import Plate
from metapix.tasks import nearest_frames
from torch import Tensor

from gan_meta.models.limbs import pixel_grid, sample, segment_distance, stretch_transforms

NEAR = 0.02
"""The weight of a limb from which a pixel belongs to it; the best of two, as the widths are the best of four."""


def first_puppet(shots: Clip, plate: Plate, poses: Clip) -> Tensor:
    """(N, 3, S, S) in [-1, 1]: the person of the K frames in the poses of another clip, over the room.

    Args:
        shots: K frames with masks.
    """
    if shots.masks is None:
        raise ValueError(f"clip {shots.name!r} has no masks")
    person = proportions(shots.joints)
    target, source = measure(poses.joints, person), measure(shots.joints, person)
    wanted, given = _segments(target), _segments(source)
    chosen = nearest_frames(shots, poses.joints)
    pictures = torch.cat([to_unit(shots.frames), shots.masks.to(torch.float32) / 255], 1)[chosen]
    across = _length(given[chosen, TORSO]) / _length(wanted[:, TORSO])
    grid = pixel_grid(shots.size, shots.size, like=poses.joints)
    total = weights = alpha = torch.zeros(())
    for part in range(len(PARTS)):
        transform = stretch_transforms(wanted[:, part], given[chosen, part], across)
        layer = sample(pictures, grid @ transform[:, None, :, :2].transpose(-1, -2) + transform[:, None, None, :, 2])
        near = segment_distance(grid, wanted[:, part]) / target.radius[:, part, None, None]
        weight = torch.exp(-2 * near.square()) * target.seen[:, part, None, None]
        mask = layer[:, 3:]
        total = total + weight.unsqueeze(1) * mask * layer[:, :3]
        weights = weights + weight.unsqueeze(1) * mask
        alpha = torch.maximum(alpha, mask * (weight.unsqueeze(1) > NEAR))
    return alpha * total / weights.clamp_min(1e-6) + (1 - alpha) * plate.crops(poses.boxes, shots.size)


def _segments(body: Body) -> Tensor:
    segments = body.segments.clone()
    segments[:, HEAD] = torch.stack([body.neck, body.joints[:, INDEX["nose"]]], 1)
    segments[:, TORSO] = torch.stack([body.hips, body.neck], 1)
    return segments


def _length(segments: Tensor) -> Tensor:
    lengths: Tensor = (segments[:, 1] - segments[:, 0]).norm(dim=-1)
    return lengths
