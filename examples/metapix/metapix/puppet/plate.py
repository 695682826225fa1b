"""The background plate: the room without the person, put together from a few frames and their masks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan_meta.models.limbs import pixel_grid, sample
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.puppet.align import Mask, Matrix, Pictures, camera_moves, homographies_to
from metapix.puppet.background import MARGINS, fill, merge, person_pixels

log = logging.getLogger(__name__)

_MAX_GROWTH = 4  # a plate is at most so many frames wide and high, however far the crop or the camera travels


@dataclass(frozen=True, eq=False)
class Plate:
    """Pictures of the empty room and where they lie in the camera's picture.

    Attributes:
        images: (M, 3, H, W) float32 in [-1, 1]: one picture for a static or an aligned camera, else one for each of the K frames.
        corner: (M, 2): the camera pixel (x, y) at which the left top edge of each picture lies.
        scale: (M,): camera pixels per pixel of the picture.
        boxes: (K, 3) left, top, side of the crops that the plate was made from, in camera pixels.
        kind: ``"static"`` (the camera stands still), ``"aligned"`` (it moves slowly: all frames were brought to the middle
            one) or ``"nearest"`` (the frames do not fit together: each frame keeps its own background, filled).
        hole: the share of the picture's pixels that no frame shows and that had to be invented.
    """

    images: Tensor
    corner: Tensor
    scale: Tensor
    boxes: Tensor
    kind: str
    hole: float

    def crop(self, box: Tensor | None = None, size: int | None = None, frame: int = 0) -> Tensor:
        """The part of the plate for one frame: (3, size, size) in [-1, 1]; see :meth:`crops`."""
        boxes = None if box is None else box.reshape(1, 3)
        return self.crops(boxes, size, torch.tensor([frame]))[0]

    def crops(self, boxes: Tensor | None, size: int | None = None, frames: Tensor | None = None) -> Tensor:
        """The parts of the plate for several frames.

        Args:
            boxes: (N, 3) left, top, side in camera pixels; ``None``: the middle (median) one of the K crops.
            size: side of the result in pixels; default the plate's own resolution.
            frames: (N,): which of the K frames each result is nearest to; matters for kind ``"nearest"`` only.

        Returns:
            (N, 3, size, size) in [-1, 1]; beyond the plate its border is repeated.
        """
        count = len(boxes) if boxes is not None else 1 if frames is None else len(frames)
        which = torch.zeros(count, dtype=torch.long) if frames is None or len(self.images) == 1 else frames.long().cpu()
        if boxes is None:
            boxes = self.boxes[which] if self.kind == "nearest" else self.boxes.median(0).values.expand(count, 3)
        boxes = boxes.to(self.images)
        side = size or max(1, round(float(boxes[0, 2] / self.scale[0])))
        same = (boxes == boxes[0]).all() and (which == which[0]).all()
        chosen = slice(0, 1) if same else slice(None)  # a static crop is cut once
        cut = self._cut(boxes[chosen], side, which[chosen])
        return cut.expand(count, -1, -1, -1) if same else cut

    def to(self, device: torch.device | str) -> Plate:
        """The same plate on another device."""
        corner, scale, boxes = (tensor.to(device) for tensor in (self.corner, self.scale, self.boxes))
        return Plate(self.images.to(device), corner, scale, boxes, self.kind, self.hole)

    def _cut(self, boxes: Tensor, size: int, which: Tensor) -> Tensor:
        which = which.to(self.images.device)
        corner, scale = self.corner[which], self.scale[which]
        grid = pixel_grid(size, size, like=self.images)
        camera = boxes[:, None, None, :2] + (grid + 0.5) * (boxes[:, 2] / size)[:, None, None, None]
        places = (camera - corner[:, None, None]) / scale[:, None, None, None] - 0.5
        if len(self.images) == 1:  # all crops of one picture: one wide lookup instead of N copies of the picture
            flat = sample(self.images, places.reshape(1, -1, size, 2), "border")
            return flat.reshape(3, len(boxes), size, size).transpose(0, 1)
        return sample(self.images[which], places, "border")


def background_plate(clip: Clip) -> Plate:
    """The room behind the person, from all frames of a clip (select the K allowed frames before).

    In each pixel the median over the frames that show it without the person; what no frame shows is painted in from around it.

    Args:
        clip: K frames. Without masks the person is taken to be where the joints are.

    Raises:
        InputError: the clip has no frame.
    """
    if len(clip) == 0:
        raise InputError(f"The clip {clip.name!r} has no frames; a background plate needs at least one.")
    frames, boxes = clip.frames.permute(0, 2, 3, 1).cpu().numpy(), _boxes(clip)
    persons = [person_pixels(clip, margin) for margin in MARGINS]
    person = persons[0]
    canvas = _Canvas.around_boxes(boxes, clip.size)
    matrices = [canvas.from_crop(box, clip.size) for box in boxes]
    if not camera_moves(frames, person, matrices, canvas.size):
        return _one_plate("static", merge(frames, persons, matrices, canvas.size), canvas, boxes)
    middle = len(clip) // 2
    aligned = homographies_to(middle, frames, person)
    if aligned is None or camera_moves(frames, person, aligned, (clip.size, clip.size)):
        log.warning("%s: the camera moves and its frames cannot be aligned; each frame keeps its own background.", clip.name)
        return _plate_per_frame(frames, person, boxes)
    canvas = _Canvas.around_frames(aligned, boxes[middle], clip.size)
    matrices = [canvas.from_crop(boxes[middle], clip.size) @ matrix for matrix in aligned]
    return _one_plate("aligned", merge(frames, persons, matrices, canvas.size), canvas, boxes)


@dataclass(frozen=True)
class _Canvas:
    """A picture in the camera's coordinates: left top edge and camera pixels per pixel, then width and height in pixels."""

    left: float
    top: float
    scale: float
    size: tuple[int, int]

    @classmethod
    def around_boxes(cls, boxes: NDArray[np.float64], side: int) -> _Canvas:
        """Holds all crops, at the resolution of the finest."""
        scale = float(boxes[:, 2].min()) / side
        low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
        return cls._limited(low, high, scale, side)

    @classmethod
    def around_frames(cls, aligned: Sequence[Matrix], box: NDArray[np.float64], side: int) -> _Canvas:
        """Holds all aligned frames, at the resolution of the crop ``box`` to which they are aligned."""
        edges = np.array([[-0.5, -0.5, 1], [side - 0.5, -0.5, 1], [side - 0.5, side - 0.5, 1], [-0.5, side - 0.5, 1]])
        corners = np.concatenate([edges @ matrix.T for matrix in aligned])
        points = box[:2] + (corners[:, :2] / corners[:, 2:] + 0.5) * box[2] / side
        return cls._limited(points.min(0), points.max(0), float(box[2]) / side, side)

    @classmethod
    def _limited(cls, low: NDArray[np.float64], high: NDArray[np.float64], scale: float, side: int) -> _Canvas:
        width, height = (min(_MAX_GROWTH * side, max(1, int(np.ceil(extent - 1e-6)))) for extent in (high - low) / scale)
        return cls(float(low[0]), float(low[1]), scale, (width, height))

    def from_crop(self, box: NDArray[np.float64], side: int) -> Matrix:
        """(3, 3): from pixels of a crop to pixels of the canvas."""
        zoom = box[2] / side / self.scale
        x, y = ((corner - edge) / self.scale + (zoom - 1) / 2 for corner, edge in zip(box[:2], (self.left, self.top), strict=True))
        return np.array([[zoom, 0, x], [0, zoom, y], [0, 0, 1]])


def _boxes(clip: Clip) -> NDArray[np.float64]:
    """(K, 3): the crops, or the whole picture where the clip has none."""
    if clip.boxes is None:
        return np.tile([0.0, 0.0, float(clip.size)], (len(clip), 1))
    return clip.boxes.cpu().numpy().astype(np.float64)


def _one_plate(kind: str, merged: tuple[Pictures, float], canvas: _Canvas, boxes: NDArray[np.float64]) -> Plate:
    picture, hole = merged
    corner, scale = torch.tensor([[canvas.left, canvas.top]]), torch.tensor([canvas.scale])
    return Plate(_as_images(picture[None]), corner, scale, torch.from_numpy(boxes).float(), kind, hole)


def _plate_per_frame(frames: Pictures, person: Mask, boxes: NDArray[np.float64]) -> Plate:
    filled = np.stack([fill(frame, hidden) for frame, hidden in zip(frames, person, strict=True)])
    where = torch.from_numpy(boxes).float()
    return Plate(_as_images(filled), where[:, :2], where[:, 2] / frames.shape[1], where, "nearest", float(person.mean()))


def _as_images(pictures: Pictures) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
