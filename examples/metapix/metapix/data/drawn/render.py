"""From surfaces, bones and a camera to pictures: skinning, a depth test over splatted points, shading and shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from metapix.data.drawn.body import BONE
from metapix.data.drawn.camera import Camera
from metapix.data.drawn.kinematics import Skeleton
from metapix.data.drawn.surface import Surface

Array = NDArray[np.float64]

EMPTY = 1 << 62
POINT_BITS = 24
DEPTH_STEPS = 5000.0
SHADOW_CELL, SHADOW_SIDE = 0.025, 144
SPARSE = 4
"""One point in so many casts a shadow: the shadow map is coarser than the picture."""


@dataclass(frozen=True)
class Light:
    """A sun-like lamp: unit direction towards it (3,), its colour (3,) and that of the light from everywhere (3,)."""

    towards: Array
    colour: Array
    ambient: Array

    def rows(self) -> Array:
        """(3, 4): world point to shadow-map column, row (cells) and distance from the lamp (metres)."""
        across = np.cross(np.array([0.0, 1.0, 0.0]), self.towards)
        across /= np.linalg.norm(across)
        up = np.cross(self.towards, across)
        rows = np.stack((across / SHADOW_CELL, up / SHADOW_CELL, -self.towards))
        centre = np.array([0.0, 0.8, 0.0])
        shift = -(rows @ centre) + np.array([SHADOW_SIDE / 2, SHADOW_SIDE / 2, 4.0])
        return np.concatenate((rows, shift[:, None]), 1)


class Figure:
    """All surfaces of a person made ready for rendering: one matrix product places every point of a group that shares its bones."""

    def __init__(self, surfaces: list[Surface]) -> None:
        groups: dict[tuple[str, ...], list[Surface]] = {}
        for surface in surfaces:
            groups.setdefault(surface.bones, []).append(surface)
        self.bones: list[list[int]] = []
        self.placed: list[Tensor] = []
        self.sparse: list[Tensor] = []
        self.turned: list[Tensor] = []
        colours, gloss = [], []
        for bones, members in groups.items():
            points = np.concatenate([member.points for member in members])
            normals = np.concatenate([member.normals for member in members])
            weights = np.concatenate([member.weights for member in members])
            homogeneous = np.concatenate((points, np.ones((len(points), 1))), 1)
            self.bones.append([BONE[bone] for bone in bones])
            self.placed.append(_spread(weights, homogeneous))
            self.sparse.append(self.placed[-1][:, ::SPARSE].contiguous())
            self.turned.append(_spread(weights, normals))
            colours += [member.colour for member in members]
            gloss += [np.full(len(member.points), member.gloss) for member in members]
        self.colour = torch.from_numpy(np.concatenate(colours).astype(np.float32))
        self.gloss = torch.from_numpy(np.concatenate(gloss).astype(np.float32))
        self.count = len(self.gloss)

    def places(self, rows: Tensor, sparse: bool = False) -> Tensor:
        """(3, N): linear functions of the places of all points (of few, if ``sparse``), given as (3, B, 4) functions of each bone's own."""
        bases = self.sparse if sparse else self.placed
        return torch.cat([rows[:, bones].reshape(3, -1) @ basis for bones, basis in zip(self.bones, bases, strict=True)], 1)

    def facing(self, rows: Tensor) -> Tensor:
        """(3, N): linear functions of all normals, given as (3, B, 3) functions of each bone's own."""
        return torch.cat([rows[:, bones].reshape(3, -1) @ basis for bones, basis in zip(self.bones, self.turned, strict=True)], 1)


def _spread(weights: Array, vectors: Array) -> Tensor:
    """(bones * D, N) products of each point's weights (N, bones) and its vector (N, D)."""
    product = weights[:, :, None] * vectors[:, None, :]
    return torch.from_numpy(np.ascontiguousarray(product.reshape(len(weights), -1).T.astype(np.float32)))


def bone_matrices(skeleton: Skeleton, rest: dict[str, Array]) -> Array:
    """(T, B, 4, 4) rest pose to world."""
    origins = np.stack([rest[name] for name in BONE])
    matrices = np.zeros((*skeleton.origin.shape[:2], 4, 4))
    matrices[..., :3, :3] = skeleton.rotation
    matrices[..., :3, 3] = skeleton.origin - (skeleton.rotation @ origins[:, :, None])[..., 0]
    matrices[..., 3, 3] = 1
    return matrices


def _rows(functions: Array, matrices: Array) -> Tensor:
    """(R, B, D): linear functions (R, D) of the world as functions of each bone's rest pose, whose matrices are (B, D, D)."""
    return torch.from_numpy(np.ascontiguousarray((functions @ matrices).transpose(1, 0, 2).astype(np.float32)))


@dataclass(frozen=True)
class Layer:
    """One rendered person at S x S pixels.

    Attributes:
        colour: (S, S, 3) linear light times coverage; cover: (S, S) coverage in [0, 1].
        nearest: (S * samples, S * samples) depth and number of the first point, packed, or :data:`EMPTY`.
        lit: (S, S) share of the lamp's light that reaches the room.
    """

    colour: Tensor
    cover: Tensor
    nearest: Tensor
    lit: Tensor

    def depth(self, x: Array, y: Array) -> Array:
        """Metres from the camera to the first surface at subpixels (x, y), very far where there is none."""
        packed: Array = self.nearest.numpy()[y, x] >> POINT_BITS
        return np.where(packed == EMPTY >> POINT_BITS, 1e3, packed / DEPTH_STEPS)


class Renderer:
    """Renders a figure frame by frame with one camera and lamp; ``samples`` are the subpixels along a pixel's side."""

    def __init__(self, figure: Figure, camera: Camera, light: Light, size: int, samples: int, room_light: Tensor) -> None:
        self.figure, self.light, self.size, self.samples = figure, light, size, samples
        self.side = size * samples
        scale = np.diag([self.side, self.side, 1.0])
        self.linear = scale @ camera.matrix
        self.lamp = light.rows()
        back = np.linalg.inv(np.concatenate((self.linear, [[0.0, 0.0, 0.0, 1.0]])))
        self.to_lamp = torch.from_numpy((self.lamp @ back).astype(np.float32))
        view = camera.place / np.linalg.norm(camera.place)
        self.directions = np.stack((light.towards, view, np.array([0.0, 1.0, 0.0])))
        self.number = torch.arange(figure.count)
        at = torch.arange(self.side) // samples
        self.pixel = (at[:, None] * size + at[None]).reshape(-1)
        self.room_light = room_light

    def __call__(self, matrices: Array) -> Layer:
        """The figure with its bones at (B, 4, 4)."""
        placed = self.figure.places(_rows(self.linear, matrices))
        facing = self.figure.facing(_rows(self.directions, matrices[:, :3, :3]))
        nearest = self._nearest(placed)
        seen = (nearest != EMPTY).nonzero()[:, 0]
        winner = nearest[seen] & ((1 << POINT_BITS) - 1)
        shadow = self._shadow_map(self.figure.places(_rows(self.lamp, matrices), sparse=True))
        in_lamp = self.to_lamp[:, :3] @ placed.index_select(1, winner) + self.to_lamp[:, 3:]
        colour = self._shade(in_lamp, facing.index_select(1, winner), winner, shadow)
        target = self.pixel[seen].numpy()
        count, area = self.size**2, float(self.samples**2)
        sums = [np.bincount(target, weights=channel, minlength=count) / area for channel in colour.numpy()]
        cover = np.bincount(target, minlength=count) / area
        return Layer(
            torch.from_numpy(np.stack(sums, -1).astype(np.float32)).view(self.size, self.size, 3),
            torch.from_numpy(cover.astype(np.float32)).view(self.size, self.size),
            nearest.view(self.side, self.side),
            self._room_lit(shadow),
        )

    def _nearest(self, placed: Tensor) -> Tensor:
        """(side * side,) for each subpixel the depth and number of the nearest point in it, packed into one integer."""
        inverse = placed[2].reciprocal()
        x = (placed[0] * inverse + 1).clamp_(0, self.side + 1).floor_()
        y = (placed[1] * inverse + 1).clamp_(0, self.side + 1).floor_()
        wide = self.side + 2
        cell = y.mul_(wide).add_(x).long()
        packed = ((placed[2] * DEPTH_STEPS).long() << POINT_BITS) | self.number
        # A border of one subpixel takes what falls outside the picture. Cell numbers stay exact in float32 up to 4096 subpixels a side.
        nearest = torch.full((wide**2,), EMPTY)
        nearest.scatter_reduce_(0, cell, packed, "amin")
        return nearest.view(wide, wide)[1:-1, 1:-1].reshape(-1)

    def _shadow_map(self, placed: Tensor) -> Tensor:
        """(side, side) distance from the lamp to the first surface."""
        x, y = placed[:2].long().clamp_(0, SHADOW_SIDE - 1)
        first = torch.full((SHADOW_SIDE**2,), 99.0)
        first.scatter_reduce_(0, y * SHADOW_SIDE + x, placed[2], "amin")
        return first

    def _shade(self, placed: Tensor, facing: Tensor, winner: Tensor, shadow: Tensor) -> Tensor:
        """(3, M) light that leaves the visible points."""
        inward = facing[1] < -0.02
        sign = torch.where(inward, -1.0, 1.0)
        lamp, view, up = facing * sign
        x, y = placed[0] - 0.5, placed[1] - 0.5
        left, top = x.floor().clamp_(0, SHADOW_SIDE - 2), y.floor().clamp_(0, SHADOW_SIDE - 2)
        cell = (top * SHADOW_SIDE + left).long()
        u, v = (x - left).clamp_(0, 1), (y - top).clamp_(0, 1)
        cells = torch.stack((cell, cell + 1, cell + SHADOW_SIDE, cell + SHADOW_SIDE + 1))
        shares = torch.stack(((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v))
        blocked = (shares * ((placed[2] - shadow[cells] - 0.035) * 25).clamp_(0, 1)).sum(0)
        direct = (lamp * 0.85 + 0.15).clamp_(0, 1) * (1 - 0.75 * blocked) * torch.where(inward, 0.35, 1.0)
        around = (0.62 + 0.30 * up) * (0.62 + 0.38 * view.clamp(0, 1)) * torch.where(inward, 0.55, 1.0)
        colour = torch.from_numpy(self.light.colour.astype(np.float32))[:, None] * direct
        colour = colour + torch.from_numpy(self.light.ambient.astype(np.float32))[:, None] * around
        half = (0.5 * (lamp + view)).clamp_(0, 1)
        shine = self.figure.gloss[winner] * half**16 * (1 - blocked)
        leaving: Tensor = self.figure.colour[winner].T * colour + shine
        return leaving

    def _room_lit(self, shadow: Tensor) -> Tensor:
        """(S, S) share of the lamp's light that reaches each place of the room."""
        blocked = (shadow < 90).float().view(1, 1, SHADOW_SIDE, SHADOW_SIDE)
        blocked = functional.avg_pool2d(blocked, 2)
        for _ in range(2):
            blocked = functional.avg_pool2d(blocked, 3, 1, 1)
        lit = functional.grid_sample(blocked, self.room_light[None], align_corners=False)
        reached: Tensor = 1 - lit[0, 0]
        return reached
