"""The 18-joint skeleton (COCO keypoints plus the neck, OpenPose's order) that all poses here are stated in."""

from __future__ import annotations

JOINTS: tuple[str, ...] = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle",
    "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
"""Joint names in channel order. "Left" and "right" are the person's own."""

N_JOINTS = len(JOINTS)
INDEX: dict[str, int] = {name: index for index, name in enumerate(JOINTS)}

MIRROR: tuple[int, ...] = tuple(
    INDEX[name.replace("left", "right") if "left" in name else name.replace("right", "left")] for name in JOINTS
)
"""Where each joint goes when the picture is flipped: joint j of the flipped pose is joint ``MIRROR[j]`` of the original."""

BONES: tuple[tuple[int, int], ...] = tuple(
    (INDEX[a], INDEX[b])
    for a, b in (
        ("neck", "nose"),
        ("neck", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
        ("neck", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("neck", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("nose", "right_eye"), ("right_eye", "right_ear"), ("nose", "left_eye"), ("left_eye", "left_ear"),
    )
)  # fmt: skip
"""Pairs of joints that are drawn as one line."""
