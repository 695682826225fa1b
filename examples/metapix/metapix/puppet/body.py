"""A person's limbs as seen in 2D joints: segments, widths, size, which way the body faces and what lies in front."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_meta.models.limbs import direction, normal
from metapix.poses.skeleton import INDEX

PARTS: tuple[str, ...] = (
    "head", "torso",
    "right_upper_arm", "right_forearm", "left_upper_arm", "left_forearm",
    "right_thigh", "right_shin", "left_thigh", "left_shin",
)  # fmt: skip
"""The ten parts of a body; a forearm carries its hand, a shin its foot."""

HEAD, TORSO, FIRST_LIMB = 0, 1, 2
FACE_JOINTS = tuple(INDEX[name] for name in ("nose", "right_eye", "left_eye", "right_ear", "left_ear"))
TORSO_JOINTS = tuple(INDEX[name] for name in ("right_shoulder", "left_shoulder", "right_hip", "left_hip"))

PARENT: dict[int, int] = {0: 1, 2: 1, 3: 2, 4: 1, 5: 4, 6: 1, 7: 6, 8: 1, 9: 8}
"""The part that each part hangs on."""

_SIDES = (("right_shoulder", "right_elbow", "right_wrist"), ("left_shoulder", "left_elbow", "left_wrist"),
          ("right_hip", "right_knee", "right_ankle"), ("left_hip", "left_knee", "left_ankle"))  # fmt: skip
_LIMB_JOINTS = torch.tensor([[INDEX[a], INDEX[b]] for chain in _SIDES for a, b in (chain[:2], chain[1:])])
_SOLID_BONES = (0, 5, 6, 7, 8)  # of `lengths`: torso and legs tell the body's size; arms point at the camera too often

# Half widths and extensions in torso lengths (neck to middle of the hips), as wide as loose clothes need.
_RADII = (0.27, 0.0, 0.13, 0.09, 0.13, 0.09, 0.23, 0.17, 0.23, 0.17)
_TORSO_WIDTH = 1.2  # of half the distance between the shoulders or hips
_HAND, _FOOT = 0.3, 0.2  # of forearm and shin
_CHIN, _CROWN = 0.1, 0.22


@dataclass(frozen=True, eq=False)
class Proportions:
    """The longest that each bone is seen: (9,) pixels for torso, arms and legs; 0 for one that is never seen."""

    lengths: Tensor


@dataclass(frozen=True, eq=False)
class Body:
    """N poses of one person, in pixels.

    Attributes:
        joints: (N, 18, 2), with 0 for what is not known, and ``known`` (N, 18), whether it is.
        size: (N,): the torso's length as it would be seen from the side, the unit of all widths.
        segments: (N, 10, 2, 2): start and end of each part of :data:`PARTS`.
        reach: (N, 10, 2, 2): the same with hands and feet.
        radius: (N, 10): half the width of each part.
        seen: (N, 10): whether the joints of each part are known.
        up: (N, 2): unit vector from the hips to the neck; ``hips`` and ``neck`` (N, 2) are those two points.
        facing: (N,): signed width of the shoulders in torso lengths; positive: towards the camera.
        turn: (N,): how far the nose lies to the right of the ears, in torso lengths.
        depth: (N, 10) in [-1, 1]: how far in front each part lies; the torso is 0.
    """

    joints: Tensor
    known: Tensor
    size: Tensor
    segments: Tensor
    reach: Tensor
    radius: Tensor
    seen: Tensor
    up: Tensor
    hips: Tensor
    neck: Tensor
    facing: Tensor
    turn: Tensor
    depth: Tensor

    def __len__(self) -> int:
        return self.joints.shape[0]


def proportions(joints: Tensor) -> Proportions:
    """The proportions of a person from (N, 18, 3) joints."""
    places, known = _clean(joints)
    hips, neck, spine = _spine(places, known)
    lengths, seen = _lengths(places, known, hips, neck, spine)
    return Proportions(torch.where(seen, lengths, torch.zeros_like(lengths)).amax(0))


def measure(joints: Tensor, person: Proportions) -> Body:
    """What (N, 18, 3) joints say about the body of a person with these proportions; unknown or NaN joints are left out."""
    places, known = _clean(joints)
    hips, neck, spine = _spine(places, known)
    up, _ = direction(torch.stack([hips, neck], 1))
    size = _size(*_lengths(places, known, hips, neck, spine), person)
    face, has_face = _mean_of_known(places, known, FACE_JOINTS)
    limbs = places[:, _LIMB_JOINTS]
    segments = torch.cat([torch.stack([_head(face, neck, size), _torso(hips, neck, up, size)], 1), limbs], 1)
    seen = torch.cat([torch.stack([has_face & known[:, INDEX["neck"]], spine], 1), known[:, _LIMB_JOINTS].all(-1)], 1)
    facing, turn = _orientation(places, known, normal(up), size)
    confidence = torch.nan_to_num(joints[..., 2]) * known
    return Body(
        joints=places,
        known=known,
        size=size,
        segments=segments,
        reach=_with_hands_and_feet(segments, size, person),
        radius=_radius(places, known, normal(up), size),
        seen=seen,
        up=up,
        hips=hips,
        neck=neck,
        facing=facing,
        turn=turn,
        depth=_depth(facing, turn, confidence),
    )


def _clean(joints: Tensor) -> tuple[Tensor, Tensor]:
    known = (joints[..., 2] > 0) & joints.isfinite().all(-1)
    return torch.where(known.unsqueeze(-1), joints[..., :2], torch.zeros_like(joints[..., :2])), known


def _mean_of_known(places: Tensor, known: Tensor, joints: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    weights = known[:, joints].to(places).unsqueeze(-1)
    return (places[:, joints] * weights).sum(1) / weights.sum(1).clamp_min(1), known[:, joints].any(1)


def _spine(places: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Middle of the hips, neck, and whether both are known."""
    hips, has_hips = _mean_of_known(places, known, (INDEX["right_hip"], INDEX["left_hip"]))
    return hips, places[:, INDEX["neck"]], has_hips & known[:, INDEX["neck"]]


def _lengths(places: Tensor, known: Tensor, hips: Tensor, neck: Tensor, spine: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 9) lengths of torso and limbs, and whether they are known."""
    limbs = places[:, _LIMB_JOINTS]
    lengths = torch.cat([(neck - hips).norm(dim=-1, keepdim=True), (limbs[:, :, 1] - limbs[:, :, 0]).norm(dim=-1)], 1)
    return lengths, torch.cat([spine[:, None], known[:, _LIMB_JOINTS].all(-1)], 1)


def _size(lengths: Tensor, seen: Tensor, person: Proportions) -> Tensor:
    """The torso's full length: foreshortening only shortens, so the longest bones decide (a mean of sixth powers)."""
    solid = torch.tensor(_SOLID_BONES, device=lengths.device)
    full = person.lengths[solid]
    weights = (seen[:, solid] & (full > 0)).to(lengths)
    ratios = lengths[:, solid] / full.clamp_min(1e-6) * weights
    scale = (ratios.pow(6).sum(1) / weights.sum(1).clamp_min(1)).pow(1 / 6)
    scale = torch.where(weights.sum(1) > 0, scale, torch.ones_like(scale))
    torso = person.lengths[0] if person.lengths[0] > 0 else person.lengths.max()
    return (scale * torso).clamp_min(1.0)


def _head(face: Tensor, neck: Tensor, size: Tensor) -> Tensor:
    axis, _ = direction(torch.stack([neck, face], 1))
    return torch.stack([face - _CHIN * size[:, None] * axis, face + _CROWN * size[:, None] * axis], 1)


def _torso(hips: Tensor, neck: Tensor, up: Tensor, size: Tensor) -> Tensor:
    return torch.stack([hips - 0.05 * size[:, None] * up, neck - 0.2 * size[:, None] * up], 1)


def _with_hands_and_feet(segments: Tensor, size: Tensor, person: Proportions) -> Tensor:
    axis, _ = direction(segments)
    extra = torch.zeros_like(segments[..., 0, 0])
    torso = person.lengths[0].clamp_min(1e-6)
    for part, share in ((3, _HAND), (5, _HAND), (7, _FOOT), (9, _FOOT)):
        extra[:, part] = share * size * (person.lengths[part - 1] / torso).clamp_max(1.5)
    return torch.stack([segments[..., 0, :], segments[..., 1, :] + extra.unsqueeze(-1) * axis], -2)


def _orientation(places: Tensor, known: Tensor, across: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    def signed(a: Tensor, b: Tensor, valid: Tensor) -> Tensor:
        return ((b - a) * across).sum(-1) / size * valid

    right, left = INDEX["right_shoulder"], INDEX["left_shoulder"]
    facing = signed(places[:, right], places[:, left], known[:, right] & known[:, left])
    ears, nose = (INDEX["right_ear"], INDEX["left_ear"]), INDEX["nose"]
    turn = signed(places[:, ears].mean(1), places[:, nose], known[:, (*ears, nose)].all(1))
    return facing, turn


def _radius(places: Tensor, known: Tensor, across: Tensor, size: Tensor) -> Tensor:
    radius = size[:, None] * torch.tensor(_RADII, device=size.device, dtype=size.dtype)
    widths = []
    for right, left in (("right_shoulder", "left_shoulder"), ("right_hip", "left_hip")):
        both = known[:, INDEX[right]] & known[:, INDEX[left]]
        widths.append(((places[:, INDEX[left]] - places[:, INDEX[right]]) * across).sum(-1).abs() * both)
    # Seen from the side a torso is not flat; the shoulders' joints lie well inside the body.
    half = (torch.stack(widths, 1).amax(1) / 2 / size + 0.08).clamp(0.16, 0.36)
    return torch.cat([radius[:, :1], (_TORSO_WIDTH * half * size)[:, None], radius[:, 2:]], 1)


def _depth(facing: Tensor, turn: Tensor, confidence: Tensor) -> Tensor:
    """Arms hang in front of the belly: visible from the front, hidden from behind; of two sides, the one that the face turns
    away from is nearer, and so is the one that the pose estimator is surer of."""
    front, side = (facing / 0.5).clamp(-1, 1), (turn / 0.15).clamp(-1, 1)
    surer = [confidence[:, right].mean(1) - confidence[:, left].mean(1) for right, left in (((3, 4), (6, 7)), ((9, 10), (12, 13)))]
    arm, arm_side = 0.5 * front, 0.8 * side + 1.5 * surer[0]
    leg, leg_side = 0.1 * front, 0.5 * side + 1.5 * surer[1]
    zero = torch.zeros_like(facing)
    order = [zero + 0.3, zero]
    order += [arm + arm_side, arm + arm_side + 0.1, arm - arm_side, arm - arm_side + 0.1]
    order += [leg + leg_side, leg + leg_side, leg - leg_side, leg - leg_side]
    return torch.stack(order, 1).clamp(-1, 1)
