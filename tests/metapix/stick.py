"""A painted stick person in front of a textured wall, whose every part has a colour of its own."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from metapix.data.clip import Clip
from metapix.poses.skeleton import INDEX

from gan_meta.models.limbs import pixel_grid, segment_distance

SIZE = 64
COLOURS = {
    "torso": (200, 40, 40),
    "head": (240, 200, 170),
    "right_arm": (40, 200, 60),
    "left_arm": (40, 60, 220),
    "right_leg": (220, 200, 30),
    "left_leg": (30, 200, 210),
}
_LIMBS = {
    "right_arm": ("right_shoulder", "right_elbow", "right_wrist"),
    "left_arm": ("left_shoulder", "left_elbow", "left_wrist"),
    "right_leg": ("right_hip", "right_knee", "right_ankle"),
    "left_leg": ("left_hip", "left_knee", "left_ankle"),
}


def wall(seed: int, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    """(height, width, 3) uint8: coloured rectangles, smooth enough to be resampled."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128.0)
    for _ in range(height * width // 60):
        y, x = rng.integers(-6, height), rng.integers(-6, width)
        picture[max(y, 0) : y + rng.integers(4, 14), max(x, 0) : x + rng.integers(4, 14)] = rng.integers(40, 216, 3)
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    blurred = sum(padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)) / 9
    return blurred.round().astype(np.uint8)


def pose(
    x: float = 32.0, *, arms: tuple[float, float] = (0.4, 0.4), bend: float = 0.0, legs: float = 0.15, back: bool = False
) -> torch.Tensor:
    """(18, 3): a person around column ``x``. Angles in radians: arms from hanging outwards, forearms further by ``bend``."""
    joints = torch.ones(18, 3)

    def put(name: str, at: tuple[float, float]) -> None:
        joints[INDEX[name], :2] = torch.tensor(at)

    put("neck", (x, 19.0))
    put("nose", (x, 12.0))
    for side, sign, angle in (("right", -1.0, arms[0]), ("left", 1.0, arms[1])):
        sign = -sign if back else sign  # the person's right is on the left of a picture taken from the front
        put(f"{side}_eye", (x + sign * 1.5, 11.0))
        put(f"{side}_ear", (x + sign * 3.0, 12.0))
        shoulder, hip = (x + sign * 6, 20.0), (x + sign * 4, 37.0)
        elbow = (shoulder[0] + sign * 8 * math.sin(angle), shoulder[1] + 8 * math.cos(angle))
        wrist = (elbow[0] + sign * 7 * math.sin(angle + bend), elbow[1] + 7 * math.cos(angle + bend))
        knee = (hip[0] + sign * 10 * math.sin(legs), hip[1] + 10 * math.cos(legs))
        ankle = (knee[0] + sign * 9 * math.sin(legs), knee[1] + 9 * math.cos(legs))
        for name, place in (("shoulder", shoulder), ("elbow", elbow), ("wrist", wrist), ("hip", hip), ("knee", knee), ("ankle", ankle)):
            put(f"{side}_{name}", place)
    return joints


def paint(picture: np.ndarray, joints: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The person over the picture, arms in front, and the mask (H, W) uint8."""
    grid = pixel_grid(*picture.shape[:2], like=joints)
    place = {name: joints[index, :2] for name, index in INDEX.items()}
    hips = (place["right_hip"] + place["left_hip"]) / 2
    shapes = [("torso", [hips, place["neck"]], 6.0), ("head", [place["nose"], place["nose"] + torch.tensor([0.0, -1.0])], 4.0)]
    shapes[:0] = [(limb, [place[name] for name in _LIMBS[limb]], 2.6) for limb in ("right_leg", "left_leg")]
    shapes += [(limb, [place[name] for name in _LIMBS[limb]], 2.0) for limb in ("right_arm", "left_arm")]
    result, mask = picture.astype(np.float32), np.zeros(picture.shape[:2], np.float32)
    for colour, line, radius in shapes:
        distance = torch.stack([segment_distance(grid, torch.stack(pair)) for pair in pairwise(line)]).amin(0)
        cover = (radius + 0.5 - distance).clamp(0, 1).numpy()
        result = result * (1 - cover[..., None]) + np.array(COLOURS[colour], np.float32) * cover[..., None]
        mask = np.maximum(mask, cover)
    return result.round().astype(np.uint8), (255 * mask).round().astype(np.uint8)


def clip_of(pictures: list[np.ndarray], joints: list[torch.Tensor], boxes: torch.Tensor | None = None) -> Clip:
    """A clip of people painted over these pictures."""
    painted = [paint(picture, pose) for picture, pose in zip(pictures, joints, strict=True)]
    frames = torch.from_numpy(np.stack([frame for frame, _ in painted])).permute(0, 3, 1, 2).contiguous()
    masks = torch.from_numpy(np.stack([mask for _, mask in painted]))[:, None]
    return Clip("stick", frames, torch.stack(joints), 30.0, masks, boxes)
