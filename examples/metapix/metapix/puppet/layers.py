"""The parts of a person cut out of the source frames: what belongs to each part, and what another part hides."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_meta.models.limbs import pixel_grid, sample, segment_distance
from metapix.puppet.body import PARENT, PARTS, TORSO, Body

REACH = (1.3, 2.3)  # in radii: a part is whole up to the first and has faded out at the second
_RIVALRY = 0.4  # in radii: how softly neighbouring parts share the pixels between them
_FRONT = 0.4  # radii by which a part in front wins over one behind
_JOINED = 0.35  # the share of a part next to the joint it shares with its neighbour, where both may have the pixels
CHANNELS = 6  # red, green, blue (times the next), person here, part here, hidden here


@dataclass(frozen=True, eq=False)
class Layer:
    """One part's pixels in all K frames, one tile below the other with a rim of zeros around each.

    Attributes:
        atlas: (1, 6, K * height, width).
        corner: (K, 2): the frame's pixel at the first pixel (x, y) of each tile.
        height: of a tile.
    """

    atlas: Tensor
    corner: Tensor
    height: int

    def read(self, sources: Tensor, places: Tensor) -> Tensor:
        """(N, 6, h, w): source n's tile at places (N, h, w, 2) in that source's pixels."""
        inside = places - self.corner[sources][:, None, None]
        x = inside[..., 0].clamp(0, self.atlas.shape[-1] - 1)
        y = inside[..., 1].clamp(0, self.height - 1) + (sources * self.height)[:, None, None]
        n, height, width = x.shape
        flat = sample(self.atlas, torch.stack([x, y], -1).view(1, n * height, width, 2), "border")
        return flat.view(CHANNELS, n, height, width).transpose(0, 1)


def smoothstep(x: Tensor, low: float, high: float) -> Tensor:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def cut_layers(images: Tensor, masks: Tensor, body: Body) -> tuple[list[Layer], Tensor]:
    """The ten parts of K frames as layers, and how much of each part its frame shows.

    Args:
        images: (K, 3, S, S) in [-1, 1].
        masks: (K, 1, S, S) in [0, 1]: the person.
        body: the K poses.

    Returns:
        Ten layers and (K, 10) visibilities in [0, 1].
    """
    grid = pixel_grid(*images.shape[-2:], like=images)
    distance = part_distance(grid, body)
    layers, visible = [], []
    for part in range(len(PARTS)):
        near = distance[:, part]
        rival, hidden = _rivals(part, grid, distance, body)
        belongs = torch.sigmoid((rival - near) / _RIVALRY) * (1 - smoothstep(near, *REACH)) * body.seen[:, part, None, None]
        hidden = hidden * (1 - smoothstep(near, 0.8, 1.2))
        core = (near < 1).to(near)
        visible.append((belongs * masks[:, 0] * core).flatten(1).sum(1) / (core.flatten(1).sum(1) + 1))
        part_here = (belongs * (1 - hidden)).unsqueeze(1)
        person_here = part_here * masks
        layers.append(_tiles(torch.cat([images * person_here, person_here, part_here, hidden.unsqueeze(1)], 1), near < REACH[1]))
    return layers, torch.stack(visible, 1)


def part_distance(grid: Tensor, body: Body) -> Tensor:
    """(N, 10, H, W): distance of pixels (H, W, 2) to each part in its own radii."""
    return segment_distance(grid, body.reach, body.radius, body.radius)


def _rivals(part: int, grid: Tensor, distance: Tensor, body: Body) -> tuple[Tensor, Tensor]:
    """Two (K, H, W): distance to the nearest other part, less for parts in front; and how surely one in front covers the pixel."""
    nearest, hidden = torch.full_like(distance[:, part], 9.0), torch.zeros_like(distance[:, part])
    for other in range(len(PARTS)):
        if other == part:
            continue
        in_front = (2 * (body.depth[:, other] - body.depth[:, part]))[:, None, None].clamp(-1, 1)
        away = torch.where(body.seen[:, other, None, None], _rival_distance(part, other, grid, distance, body), 9.0)
        nearest = torch.minimum(nearest, away - _FRONT * in_front)
        hidden = torch.maximum(hidden, (1 - smoothstep(away, 0.8, 1.2)) * in_front.clamp_min(0))
    return nearest, hidden


def _rival_distance(part: int, other: int, grid: Tensor, distance: Tensor, body: Body) -> Tensor:
    """Distance to another part; to a neighbour without its share next to the common joint."""
    if PARENT.get(part) == other == TORSO:
        return distance[:, other] + _JOINED
    if PARENT.get(part) == other:
        low, high = 0.0, 1 - _JOINED
    elif PARENT.get(other) == part:
        low, high = _JOINED, 1.0
    else:
        return distance[:, other]
    start, end = body.reach[:, other].unbind(1)
    shortened = torch.stack([start + low * (end - start), start + high * (end - start)], 1)
    return segment_distance(grid, shortened, body.radius[:, other], body.radius[:, other])


def _tiles(channels: Tensor, used: Tensor) -> Layer:
    """Cut (K, 6, S, S) to what is used (K, S, S), all tiles of one size, and stack them."""
    k, size = used.shape[0], used.shape[-1]
    bounds = torch.stack([torch.stack(_extent(used[i].any(axis)), 0) for i in range(k) for axis in (0, 1)]).view(k, 2, 2)
    width, height = ((bounds[:, :, 1] - bounds[:, :, 0]).amax(0).clamp_min(1)).tolist()
    corner = torch.minimum(bounds[:, :, 0], torch.tensor([size - width, size - height], device=used.device))
    tiles = channels.new_zeros(k, CHANNELS, height + 2, width + 2)
    for index, (x, y) in enumerate(corner.tolist()):
        tiles[index, :, 1:-1, 1:-1] = channels[index, :, y : y + height, x : x + width]
    atlas = tiles.permute(1, 0, 2, 3).reshape(1, CHANNELS, k * (height + 2), width + 2)
    return Layer(atlas, (corner - 1).to(channels), height + 2)


def _extent(used: Tensor) -> list[Tensor]:
    """First index and one past the last where ``used`` (S,) holds; 0 and 0 where it never does."""
    where = torch.nonzero(used).flatten()
    zero = torch.zeros((), dtype=torch.long, device=used.device)
    return [where[0], where[-1] + 1] if len(where) else [zero, zero]
