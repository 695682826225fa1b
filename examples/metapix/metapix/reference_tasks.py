"""What a start with a reference learns from: pictures whose references come from other frames of the same person."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

import gan_meta as gm
from gan_meta.models.limbs import pixel_grid, sample
from gan_meta.seeds import derive_seed
from metapix.data.clip import Clip
from metapix.poses.pose_input import joint_heatmaps, person_discs, to_bytes, to_unit
from metapix.reference import Reference, shot_samples
from metapix.tasks import with_pose

_MARGIN = 1 / 16  # of the side: around a real person, so that the network also sees where the outline should have been


class ReferenceSamples:
    """Frames of clips as samples for joint training, each with a reference made of some other frames of its clip.

    For each clip and round, K frames are drawn at random, K between 2 and 8, and further frames of the clip get their
    references. Each round sees the clip in colours of its own, and turned, moved and enlarged in a way of its own: a network that
    could learn its few training people's colours and places by heart would paint them on everybody else. Of a real clip with
    masks only the person and a margin around them is learned from: whoever else walks through it belongs to no pose. The
    references are kept as bytes and the heatmaps drawn when asked for.

    Args:
        clips: one or more, all of one size.
        kind: the reference, as for :class:`Reference`.
        rounds: how many times K frames are drawn: one number for all clips, or one a clip.
        targets: at most how many frames get their reference a round.
        seed: of the draws.
        person_weight: how much more the pixels near the skeleton weigh, as for :func:`metapix.tasks.with_pose`.
        tick: called after each clip with the number of clips done.

    Raises:
        ValueError: when there is no clip, clips differ in size, or one has fewer than three frames.
    """

    shots = (2, 8)

    def __init__(
        self,
        clips: Sequence[Clip],
        kind: str,
        *,
        rounds: int | Sequence[int] = 2,
        targets: int = 20,
        seed: int = 0,
        person_weight: float = 0.0,
        tick: Callable[[int], None] | None = None,
    ) -> None:
        if len({clip.size for clip in clips}) != 1:
            raise ValueError(f"clips must be one or more, all of one size; got sizes {sorted({clip.size for clip in clips})}")
        self.size, self.person_weight = clips[0].size, person_weight
        parts = []
        for number, clip in enumerate(clips):
            if len(clip) < self.shots[0] + 1:
                raise ValueError(f"clip {clip.name!r} has {len(clip)} frames; with a reference it takes at least {self.shots[0] + 1}")
            generator = torch.Generator().manual_seed(derive_seed(seed, "references", clip.name, number))
            times = rounds if isinstance(rounds, int) else rounds[number]
            parts += [_round(clip, kind, targets, generator) for _ in range(times)]
            if tick is not None:
                tick(number + 1)
        self.joints, self.references, self.frames, self.regions = (torch.cat(tensors) for tensors in zip(*parts, strict=True))

    def __len__(self) -> int:
        return len(self.frames)

    def batch(self, indices: Sequence[int]) -> gm.Batch:
        """``"pose"`` (N, 18 + R, S, S), ``"image"`` (N, 3, S, S) in [-1, 1] and ``"weight"`` (N, 1, S, S), 0 where nothing is learned."""
        index = torch.as_tensor(list(indices), dtype=torch.long)
        joints = self.joints[index]
        pose = torch.cat([joint_heatmaps(joints, self.size), to_unit(self.references[index])], dim=1)
        weight = self.regions[index] * (1 + self.person_weight * person_discs(joints, self.size))
        return {"pose": pose, "image": to_unit(self.frames[index]), "weight": weight}


class ReferenceTasks:
    """Few-shot tasks with references: K frames of a person to adapt to, and further frames as the query.

    The support is what a personalisation plays on (:func:`shot_samples`); the query's references are made of the K frames, as
    they are when the person is drawn in new poses.

    Args:
        clips: one a person, all of one size.
        kind: the reference.
        shots: K.
        queries: frames in the query.
        person_weight: as for :func:`shot_samples`.

    Raises:
        ValueError: when a clip has fewer than ``shots + queries`` frames.
    """

    def __init__(self, clips: Sequence[Clip], kind: str, shots: int = 5, queries: int = 5, person_weight: float = 0.0) -> None:
        for clip in clips:
            if len(clip) < shots + queries:
                raise ValueError(f"clip {clip.name!r} has {len(clip)} frames, fewer than shots + queries = {shots + queries}")
        self.clips, self.kind, self.shots, self.queries, self.person_weight = list(clips), kind, shots, queries, person_weight

    def sample(self, seed: int) -> gm.Task:
        """The task of this seed: a clip, its K frames and its query, uniformly at random."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "reference-task"))
        clip = self.clips[int(torch.randint(len(self.clips), (), generator=generator))]
        order = torch.randperm(len(clip), generator=generator).tolist()
        shots, rest = clip.select(order[: self.shots]), clip.select(order[self.shots : self.shots + self.queries])
        channels = Reference(self.kind, shots).channels(rest.joints, rest.boxes, clip.size)
        query = with_pose(rest, channels, self.person_weight)
        return gm.Task(shot_samples(shots, self.kind, person_weight=self.person_weight), query, clip.name)


def _round(clip: Clip, kind: str, targets: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Joints, references as bytes, frames, and the region to learn from."""
    clip = moved(recoloured(clip, generator), generator)
    low, high = ReferenceSamples.shots
    count = min(int(torch.randint(low, high + 1, (), generator=generator)), len(clip) - 1)
    order = torch.randperm(len(clip), generator=generator).tolist()
    shots, rest = clip.select(order[:count]), clip.select(order[count : count + targets])
    return rest.joints, to_bytes(Reference(kind, shots).channels(rest.joints, rest.boxes, clip.size)), rest.frames, _region(rest)


def _region(clip: Clip) -> Tensor:
    """(N, 1, S, S) bool: all of a drawn picture; of a real one, the person and a margin around them."""
    if clip.kind == "drawn" or clip.masks is None:
        return torch.ones(len(clip), 1, clip.size, clip.size, dtype=torch.bool)
    reach = max(1, round(_MARGIN * clip.size))
    return functional.max_pool2d(clip.masks.to(torch.float32), 2 * reach + 1, stride=1, padding=reach) > 127


def recoloured(clip: Clip, generator: torch.Generator) -> Clip:
    """The clip with its colours turned about grey at random, its contrast between 0.6 and 1.2 of what it was, and a tint."""
    turn, triangle = torch.linalg.qr(torch.randn(3, 3, generator=generator))
    turn = turn * triangle.diagonal().sign()  # uniform over rotations and reflections, so that dark may become light
    contrast = 0.6 + 0.6 * torch.rand((), generator=generator)
    tint = 0.4 * torch.rand(3, generator=generator) - 0.2
    colours = torch.einsum("ij,njhw->nihw", contrast * turn, to_unit(clip.frames)) + tint[:, None, None]
    return replace(clip, frames=to_bytes(colours))


def moved(clip: Clip, generator: torch.Generator) -> Clip:
    """The clip turned by up to 10 degrees, moved by up to a tenth of its side and 0.8 to 1.2 times as large, all frames alike.

    A crop that follows the person stays as it is, since its place in the camera's picture would no longer be known.
    """
    if clip.boxes is not None and bool((clip.boxes != clip.boxes[0]).any()):
        return clip
    angle, zoom, x, y = (2 * torch.rand(4, generator=generator) - 1).tolist()
    turn = math.radians(10 * angle)
    scale, middle = 1.2 ** (zoom if zoom > 0 else 1.224 * zoom), (clip.size - 1) / 2
    forward = scale * torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    offset = torch.tensor([x, y]) * 0.1 * clip.size
    joints = clip.joints.clone()
    joints[..., :2] = (clip.joints[..., :2] - middle) @ forward.T + middle + offset
    grid = pixel_grid(clip.size, clip.size, like=joints)
    places = ((grid - middle - offset) @ torch.linalg.inv(forward).T + middle).expand(len(clip), -1, -1, -1)
    frames = to_bytes(sample(to_unit(clip.frames), places, "border"))
    masks = None if clip.masks is None else sample(clip.masks.to(torch.float32), places, "zeros").round().to(torch.uint8)
    return replace(clip, frames=frames, joints=joints, masks=masks, boxes=None)
