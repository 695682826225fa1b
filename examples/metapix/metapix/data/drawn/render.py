"""From surfaces, bones and a camera to pictures: skinning, a depth test over splatted points, shading and shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metapix.data.drawn.body import BONE, Skeleton
from metapix.data.drawn.camera import Camera
from metapix.data.drawn.surface import Surface

Array = NDArray[np.float64]

EMPTY = 1 << 62
POINT_BITS = 24
DEPTH_STEPS = 5000.0
SHADOW_CELL, SHADOW_SIDE = 0.025, 144


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
        self.facing: list[Tensor] = []
        colours, gloss = [], []
        for bones, members in groups.items():
            points = np.concatenate([member.points for member in members])
            normals = np.concatenate([member.normals for member in members])
            weights = np.concatenate([member.weights for member in members])
            homogeneous = np.concatenate((points, np.ones((len(points), 1))), 1)
            self.bones.append([BONE[bone] for bone in bones])
            self.placed.append(_spread(weights, homogeneous))
            self.facing.append(_spread(weights, normals))
            colours += [member.colour for member in members]
            gloss += [np.full(len(member.points), member.gloss) for member in members]
        self.colour = torch.from_numpy(np.concatenate(colours).astype(np.float32))
        self.gloss = torch.from_numpy(np.concatenate(gloss).astype(np.float32))
        self.count = len(self.gloss)

    def rows(self, points: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        """(6, N) and (3, N): linear functions of every point and normal, given as (6, B, 4) and (3, B, 3) functions of each bone's own."""
        placed = [points[:, bones].reshape(6, -1) @ basis for bones, basis in zip(self.bones, self.placed, strict=True)]
        facing = [normals[:, bones].reshape(3, -1) @ basis for bones, basis in zip(self.bones, self.facing, strict=True)]
        return torch.cat(placed, 1), torch.cat(facing, 1)


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


@dataclass(frozen=True)
class Layer:
    """One rendered person: ``colour`` (S, S, 3) linear times coverage, ``cover`` (S, S) in [0, 1], ``depth`` (S * ss, S * ss) metres or inf, ``lit`` (S, S) share of the lamp that reaches the room."""

    colour: Tensor
    cover: Tensor
    depth: Tensor
    lit: Tensor


class Renderer:
    """Renders a figure frame by frame with one camera and lamp; ``samples`` are the subpixels along a pixel's side."""

    def __init__(self, figure: Figure, camera: Camera, light: Light, size: int, samples: int, room_light: Tensor) -> None:
        self.figure, self.light, self.size, self.samples = figure, light, size, samples
        self.side = size * samples
        scale = np.diag([self.side, self.side, 1.0])
        self.linear = np.concatenate((scale @ camera.matrix, light.rows()))
        view = camera.place / np.linalg.norm(camera.place)
        self.directions = np.stack((light.towards, view, np.array([0.0, 1.0, 0.0])))
        self.number = torch.arange(figure.count)
        at = torch.arange(self.side) // samples
        self.pixel = (at[:, None] * size + at[None]).reshape(-1)
        self.room_light = room_light

    def __call__(self, matrices: Array) -> Layer:
        """The figure with its bones at (B, 4, 4)."""
        points = torch.from_numpy((self.linear @ matrices).transpose(1, 0, 2).astype(np.float32))
        normals = torch.from_numpy((self.directions @ matrices[:, :3, :3]).transpose(1, 0, 2).astype(np.float32))
        placed, facing = self.figure.rows(points, normals)
        nearest = self._nearest(placed)
        seen = (nearest != EMPTY).nonzero()[:, 0]
        winner = nearest[seen] & ((1 << POINT_BITS) - 1)
        shadow = self._shadow_map(placed)
        colour = self._shade(placed[:, winner], facing[:, winner], winner, shadow)
        target = self.pixel[seen].numpy()
        count, area = self.size**2, float(self.samples**2)
        sums = [np.bincount(target, weights=channel, minlength=count) / area for channel in colour.numpy()]
        cover = np.bincount(target, minlength=count) / area
        depth = (nearest >> POINT_BITS).float() / DEPTH_STEPS
        depth[nearest == EMPTY] = torch.inf
        return Layer(
            torch.from_numpy(np.stack(sums, -1).astype(np.float32)).view(self.size, self.size, 3),
            torch.from_numpy(cover.astype(np.float32)).view(self.size, self.size),
            depth.view(self.side, self.side),
            self._room_lit(shadow),
        )

    def _nearest(self, placed: Tensor) -> Tensor:
        """(side * side,) for each subpixel the depth and number of the nearest point in it, packed into one integer."""
        inverse = placed[2].reciprocal()
        x, y = (placed[0] * inverse).long(), (placed[1] * inverse).long()
        inside = (x >= 0) & (y >= 0) & (x < self.side) & (y < self.side)
        cell = torch.where(inside, y * self.side + x, self.side**2)
        packed = ((placed[2] * DEPTH_STEPS).long() << POINT_BITS) | self.number
        nearest = torch.full((self.side**2 + 1,), EMPTY)
        nearest.scatter_reduce_(0, cell, packed, "amin")
        return nearest[:-1]

    def _shadow_map(self, placed: Tensor) -> Tensor:
        """(side, side) distance from the lamp to the first surface."""
        x, y = placed[3].long().clamp_(0, SHADOW_SIDE - 1), placed[4].long().clamp_(0, SHADOW_SIDE - 1)
        first = torch.full((SHADOW_SIDE**2,), 99.0)
        first.scatter_reduce_(0, y * SHADOW_SIDE + x, placed[5], "amin")
        return first

    def _shade(self, placed: Tensor, facing: Tensor, winner: Tensor, shadow: Tensor) -> Tensor:
        """(3, M) light that leaves the visible points."""
        inward = facing[1] < -0.02
        sign = torch.where(inward, -1.0, 1.0)
        lamp, view, up = facing * sign
        x, y = placed[3] - 0.5, placed[4] - 0.5
        blocked = torch.zeros_like(x)
        for dx, dy in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
            cell = (y + dy).long().clamp_(0, SHADOW_SIDE - 1) * SHADOW_SIDE + (x + dx).long().clamp_(0, SHADOW_SIDE - 1)
            share = (1 - (x - x.floor() - dx).abs()) * (1 - (y - y.floor() - dy).abs())
            blocked += share * ((placed[5] - shadow[cell] - 0.035) * 25).clamp_(0, 1)
        direct = (lamp * 0.85 + 0.15).clamp_(0, 1) * (1 - 0.75 * blocked) * torch.where(inward, 0.35, 1.0)
        around = (0.62 + 0.30 * up) * (0.62 + 0.38 * view.clamp(0, 1)) * torch.where(inward, 0.55, 1.0)
        colour = torch.from_numpy(self.light.colour.astype(np.float32))[:, None] * direct
        colour = colour + torch.from_numpy(self.light.ambient.astype(np.float32))[:, None] * around
        half = (0.5 * (lamp + view)).clamp_(0, 1)
        shine = self.figure.gloss[winner] * half**16 * (1 - blocked)
        return self.figure.colour[winner].T * colour + shine

    def _room_lit(self, shadow: Tensor) -> Tensor:
        """(S, S) share of the lamp's light that reaches each place of the room."""
        blocked = (shadow < 90).float().view(1, 1, SHADOW_SIDE, SHADOW_SIDE)
        for _ in range(2):
            blocked = torch.nn.functional.avg_pool2d(blocked, 5, 1, 2)
        lit = torch.nn.functional.grid_sample(blocked, self.room_light[None], align_corners=False)
        return 1 - lit[0, 0]
