"""Where to read in a source frame for a pixel of a part in the target pose."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_meta.models.limbs import direction, normal, segment_coordinates, similarity_transforms, stretch_transforms, with_offset
from metapix.poses.skeleton import INDEX, MIRROR
from metapix.puppet.body import FACE_JOINTS, FIRST_LIMB, HEAD, TORSO_JOINTS, Body

_HEAD_JOINTS = (*FACE_JOINTS, INDEX["neck"])
_HEAD_WEIGHTS = (1.0, 0.7, 0.7, 1.0, 1.0, 0.2)
_STIFFNESS = 0.25  # torso lengths: how far to each side of the torso's middle the points lie that keep it from collapsing


def source_places(part: int, target: Body, source: Body, sources: Tensor, grid: Tensor) -> Tensor:
    """For pixels of the target, the place in the source frame that shows the same spot of a part.

    Args:
        part: index in :data:`metapix.puppet.body.PARTS`.
        target: N poses.
        source: K poses.
        sources: (N,) which of the K to read for each pose.
        grid: (N, h, w, 2) pixels of the target.

    Returns:
        (N, h, w, 2) pixels of the source frames.
    """
    if part < FIRST_LIMB:
        transforms = (_head_transforms if part == HEAD else _torso_transforms)(target, source, sources)
        return _apply(transforms, grid)
    wanted, given = target.segments[:, part], source.segments[sources, part]
    across = source.size[sources] / target.size
    places = _apply(stretch_transforms(wanted, given, across), grid)
    # Beyond the ends, where hands and feet are, a foreshortened limb must not stretch them.
    (_, length), (axis, given_length) = direction(wanted), direction(given)
    along = segment_coordinates(grid, wanted)[0]
    beyond = along - along.clamp_min(0).minimum(length[:, None, None])
    excess = across - given_length / length.clamp_min(1e-3)
    return places + (excess[:, None, None] * beyond).unsqueeze(-1) * axis[:, None, None]


def _apply(transforms: Tensor, grid: Tensor) -> Tensor:
    return grid @ transforms[:, None, :, :2].transpose(-1, -2) + transforms[:, None, None, :, 2]


def _head_transforms(target: Body, source: Body, sources: Tensor) -> Tensor:
    """Turned and moved as the joints known in both say; the scale is the body's, since a turned face looks small."""
    joints = list(_HEAD_JOINTS)
    given, given_known = _matched(target, source, sources)
    weights = torch.tensor(_HEAD_WEIGHTS, device=target.joints.device) * (target.known & given_known)[:, joints]
    a, b = target.joints[:, joints], given[:, joints]
    linear = similarity_transforms(a, b, weights)[..., :2]
    scale = linear[:, :, 0].norm(dim=-1).clamp_min(1e-6)
    linear = linear * (source.size[sources] / target.size / scale)[:, None, None]
    share = (weights / weights.sum(1, keepdim=True).clamp_min(1e-6)).unsqueeze(-1)
    return with_offset(linear, (a * share).sum(1), (b * share).sum(1))


def _torso_transforms(target: Body, source: Body, sources: Tensor) -> Tensor:
    """The least-squares affine map of shoulders, hips, neck and hip centre, kept regular by two points beside the spine."""
    joints = list(TORSO_JOINTS)
    given, given_known = _matched(target, source, sources)
    known = (target.known & given_known)[:, joints].to(target.joints)
    weights = torch.cat([known, known.new_ones(len(target), 4)], 1).unsqueeze(-1)
    a = torch.cat([target.joints[:, joints], _spine_points(target)], 1)
    b = torch.cat([given[:, joints], _spine_points(source)[sources]], 1)
    a_mean, b_mean = ((weights * points).sum(1) / weights.sum(1) for points in (a, b))
    a_centred, b_centred = weights.sqrt() * (a - a_mean[:, None]), weights.sqrt() * (b - b_mean[:, None])
    ridge = 1e-3 * torch.eye(2, device=a.device, dtype=a.dtype)
    normal_matrix = a_centred.transpose(1, 2) @ a_centred + ridge
    linear = torch.linalg.solve(normal_matrix, a_centred.transpose(1, 2) @ b_centred).transpose(1, 2)
    return with_offset(linear, a_mean, b_mean)


def _matched(target: Body, source: Body, sources: Tensor) -> tuple[Tensor, Tensor]:
    """The sources' joints (N, 18, 2) and which are known; right and left change places where only one of the two faces the camera.

    Then a chest stands in for a back, which is better than a chest turned inside out.
    """
    joints, known = source.joints[sources], source.known[sources]
    turned = (target.facing * source.facing[sources] < 0)[:, None]
    mirror = list(MIRROR)
    return torch.where(turned.unsqueeze(-1), joints[:, mirror], joints), torch.where(turned, known[:, mirror], known)


def _spine_points(body: Body) -> Tensor:
    """(N, 4, 2): hip centre, neck, and a point on each side of the middle."""
    middle = (body.hips + body.neck) / 2
    aside = _STIFFNESS * body.size[:, None] * normal(body.up)
    return torch.stack([body.hips, body.neck, middle + aside, middle - aside], 1)
