"""Poses as label maps: a stick figure whose limbs are classes, one-hot to 18 channels, as the released MetaPix data has them.

Class 0 is the background and class n + 1 is limb n in OpenPose's order. (The released files say nowhere which class is which limb;
when they are read, their classes are taken as they are.)
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

import gan_meta as gm
from gan_meta.models.pix2pixhd import build_pix2pixhd
from gan_meta.naming import unknown_name
from metapix.errors import InputError
from metapix.poses.pose_input import flip, joint_heatmaps
from metapix.poses.skeleton import INDEX, JOINTS, MIRROR

DRAWN = ("heatmaps", "labels")
"""Pose inputs that are pictures."""
POSE_INPUTS = (*DRAWN, "joints")
"""How a pair can be told of poses: pictures, or Posewarp's joints."""
N_CLASSES = 18
LIMB_RADIUS = 1 / 96
"""Half a limb's width as a share of the picture's side; never less than half a pixel."""

LIMBS: tuple[tuple[int, int], ...] = tuple(
    (INDEX[a], INDEX[b])
    for a, b in (
        ("neck", "right_shoulder"), ("neck", "left_shoulder"),
        ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
        ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("neck", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("neck", "nose"), ("nose", "right_eye"), ("right_eye", "right_ear"), ("nose", "left_eye"), ("left_eye", "left_ear"),
    )
)  # fmt: skip
"""Limb n is drawn as class n + 1, later ones over earlier ones."""

MIRROR_CLASSES: tuple[int, ...] = (0, *(LIMBS.index((MIRROR[a], MIRROR[b])) + 1 for a, b in LIMBS))
"""Where each class goes when the picture is flipped."""

LABEL_MODEL = "metapix-label-maps"


@gm.models.register(LABEL_MODEL)
def build_label_pair(
    pose_channels: int = N_CLASSES,
    base_channels: int = 64,
    n_downsample: int = 4,
    n_blocks: int = 9,
    generator: str = "global",
    n_enhancers: int = 1,
    n_local_blocks: int = 3,
    discriminator_channels: int = 64,
    n_layers: int = 3,
    n_scales: int = 2,
    upsampling: str = "transpose",
) -> gm.GANPair:
    """The pair of ``"pix2pixhd"`` under a name that says that its poses are label maps; arguments as there."""
    return build_pix2pixhd(
        pose_channels=pose_channels,
        base_channels=base_channels,
        n_downsample=n_downsample,
        n_blocks=n_blocks,
        generator=generator,
        n_enhancers=n_enhancers,
        n_local_blocks=n_local_blocks,
        discriminator_channels=discriminator_channels,
        n_layers=n_layers,
        n_scales=n_scales,
        upsampling=upsampling,
    )


def pose_of(pair: gm.GANPair) -> str:
    """How a pair wants its poses: one of :data:`POSE_INPUTS`."""
    return pose_of_model(pair.model_name)


def pose_of_model(name: str | None) -> str:
    """How pairs of a model want their poses; heatmaps for a pair made by hand."""
    return {LABEL_MODEL: "labels", "posewarp": "joints"}.get(name or "", "heatmaps")


def draw_poses(joints: Tensor, size: int, pose: str = "heatmaps") -> Tensor:
    """Poses as a generator takes them, drawn on the joints' device.

    Args:
        joints: (N, 18, 3) in pixels of a ``size`` x ``size`` picture.
        pose: ``"heatmaps"`` (the paper's words) or ``"labels"`` (the released data).

    Returns:
        (N, 18, size, size) float32 in [0, 1].

    Raises:
        ValueError: for another ``pose``.
    """
    if pose not in DRAWN:
        raise ValueError(unknown_name("pose input", pose, DRAWN))
    return joint_heatmaps(joints, size) if pose == "heatmaps" else one_hot(label_maps(joints, size))


def label_maps(joints: Tensor, size: int) -> Tensor:
    """The class of each pixel.

    Args:
        joints: (N, 18, 3) in pixels of a ``size`` x ``size`` picture.

    Returns:
        (N, size, size) uint8; limbs with an unseen end are left out.
    """
    grid = torch.arange(size, dtype=torch.float32, device=joints.device)
    points = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), dim=-1).reshape(-1, 2)
    radius = max(LIMB_RADIUS * size, 0.5)
    labels = torch.zeros(len(joints), size * size, dtype=torch.uint8, device=joints.device)
    for limb, (first, second) in enumerate(LIMBS):
        start, end = joints[:, first, None], joints[:, second, None]
        origin, along = start[..., :2], (end - start)[..., :2]
        share = ((points - origin) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-6)
        distance = (points - origin - share.clamp(0, 1).unsqueeze(-1) * along).norm(dim=-1)
        labels[(distance <= radius) & (start[..., 2] > 0) & (end[..., 2] > 0)] = limb + 1
    return labels.reshape(-1, size, size)


def one_hot(labels: Tensor) -> Tensor:
    """(N, H, W) classes 0 to 17 as (N, 18, H, W) float32 of 0 and 1.

    Raises:
        InputError: for a class above 17.
    """
    if len(labels) and int(labels.max()) >= N_CLASSES:
        raise InputError(f"a label map has class {int(labels.max())}; classes go from 0 to {N_CLASSES - 1}")
    return functional.one_hot(labels.long(), N_CLASSES).permute(0, 3, 1, 2).to(torch.float32)


def flip_labels(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mirrored batch of label maps: every picture turned over, and left and right classes swapped in ``"pose"``."""
    mirrored = {name: tensor.flip(-1) for name, tensor in batch.items()}
    channels = [*MIRROR_CLASSES, *range(N_CLASSES, mirrored["pose"].shape[1])]
    mirrored["pose"] = mirrored["pose"][:, channels]
    return mirrored


def fit_flip(inner: gm.InnerLoop, pose: str) -> gm.InnerLoop:
    """The game with flips that swap the channels of this pose input."""
    if pose == "heatmaps":
        return inner
    return dataclasses.replace(inner, augment=tuple(flip_labels if transform is flip else transform for transform in inner.augment))


def pose_facts(pair: gm.GANPair) -> dict[str, object]:
    """What a file says about its pair's poses, so that another release or program can tell."""
    return {"input": pose_of(pair), "joints": list(JOINTS)}


def check_pose_facts(path: object, facts: object) -> None:
    """Refuse a model of another pose convention.

    Args:
        facts: what the file's ``"pose"`` says; ``None`` in files that are older than this note.

    Raises:
        InputError: when it has other joints, or other inputs.
    """
    if facts is None:
        return
    if not isinstance(facts, dict) or facts.get("joints") != list(JOINTS):
        raise InputError(f"{path} was trained on another skeleton than metapix's 18 joints (OpenPose's COCO order); use another model")
    if facts.get("input") not in POSE_INPUTS:
        raise InputError(f"{path} takes its poses as {facts.get('input')!r}, which this release does not know; update metapix")
