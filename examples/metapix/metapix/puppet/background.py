"""Where the person may be in a frame, and the median of the frames without the person, with what none shows painted in."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan_meta.models.limbs import pixel_grid, segment_distance
from metapix.data.clip import Clip
from metapix.poses.skeleton import BONES
from metapix.puppet.align import Mask, Matrix, Pictures, onto_canvas

MARGINS = (0.02, 0.007)  # of the frame's side: soft masks end early, and shadows and motion blur surround the person
_PERSON = 48  # of 255: from here on a pixel may show the person


def person_pixels(clip: Clip, margin: float = MARGINS[0]) -> Mask:
    """(N, S, S): pixels that may show the person: the mask, or a body drawn around the joints, widened by a share of the side."""
    masks = body_masks(clip.joints, clip.size) if clip.masks is None else clip.masks
    radius = max(1, round(margin * clip.size))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.stack([cv2.dilate((mask >= _PERSON).astype(np.uint8), disc) > 0 for mask in masks[:, 0].cpu().numpy()])


def body_masks(joints: Tensor, size: int) -> Tensor:
    """A stout stick person around the joints, for clips without masks: (N, 1, S, S) uint8, 0 where no joint is known."""
    segments = joints[:, torch.tensor(BONES), :2]
    known = (joints[:, torch.tensor(BONES), 2] > 0).all(-1)
    radius = 0.13 * torch.where(known, (segments[:, :, 1] - segments[:, :, 0]).norm(dim=-1), 0).amax(1).clamp_min(1.0)
    grid = pixel_grid(size, size, like=joints)
    masks = []
    for pose, seen, width in zip(segments, known, radius, strict=True):
        distance = segment_distance(grid, pose[seen]) / width
        near = distance.amin(0) if bool(seen.any()) else grid.new_full((size, size), torch.inf)
        masks.append((255 * (2 - near).clamp(0, 1)).to(torch.uint8))
    return torch.stack(masks)[:, None]


def merge(frames: Pictures, persons: Sequence[Mask], matrices: Sequence[Matrix], size: tuple[int, int]) -> tuple[Pictures, float]:
    """The room on a canvas: in each pixel the median over the frames that show it without the person.

    What only shows closer to the person than the widest margin is still better than what has to be invented, so narrower
    margins fill the holes of wider ones.

    Args:
        frames: (K, S, S, 3), RGB.
        persons: (K, S, S) each, pixels that may show the person, with one margin after the other, the widest first.
        matrices: K matrices (3, 3) from pixels of a frame to pixels of the canvas.
        size: width and height of the canvas.

    Returns:
        (H, W, 3) and the share of pixels that no frame shows, which are painted in from around them.
    """
    layers = np.stack([onto_canvas(frame.astype(np.float32), matrix, size) for frame, matrix in zip(frames, matrices, strict=True)])
    picture, hole = np.zeros(layers.shape[1:], np.uint8), np.ones(layers.shape[1:3], bool)
    for person in persons:
        empty = [onto_canvas((~hidden).astype(np.float32), matrix, size) > 0.99 for hidden, matrix in zip(person, matrices, strict=True)]
        room, unseen = _median_of_seen(layers, np.stack(empty))
        found = hole & ~unseen
        picture[found] = room[found].round().astype(np.uint8)
        hole &= unseen
    return fill(picture, hole), float(hole.mean())


def _median_of_seen(layers: NDArray[np.float32], seen: Mask) -> tuple[NDArray[np.float32], Mask]:
    """(H, W, 3), 0 where nothing is seen, and (H, W) where that is."""
    count = seen.sum(0)
    hole = count == 0
    # Unseen values are sorted behind all others; the median is then the middle of the first `count` of them.
    ordered = np.sort(np.where(seen[..., None], layers, np.float32(np.inf)), axis=0)
    ordered = np.where(hole[..., None], np.float32(0), ordered)
    low, high = ((count - 1).clip(0) // 2, (count // 2).clip(0, len(layers) - 1))
    room = sum(np.take_along_axis(ordered, index[None, :, :, None], 0)[0] for index in (low, high)) / np.float32(2)
    return room, hole


def fill(picture: Pictures, hole: Mask) -> Pictures:
    """The picture (H, W, 3) with its holes (H, W) painted in from around them; mid grey where there is nothing but hole."""
    if not hole.any():
        return picture
    if hole.all():
        return np.full_like(picture, 128)
    # The Navier-Stokes method keeps flat areas flat; Telea's is some levels off even on one colour.
    result: Pictures = cv2.inpaint(picture, hole.astype(np.uint8), 3, cv2.INPAINT_NS)
    return result
