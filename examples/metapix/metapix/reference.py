"""References: what the K frames tell besides the pose (the empty room, the puppet), and a generator that starts from them.

The paper's network must carry a room and a person through its weights. With a reference it only has to say what to change: an
untrained one gives the reference itself, so that learning nothing is the floor.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

import gan_meta as gm
from gan_meta.models.pix2pixhd import GlobalGenerator, MultiscaleDiscriminator
from gan_meta.naming import unknown_name
from metapix.data.clip import Clip, scale_joints
from metapix.poses.skeleton import N_JOINTS
from metapix.puppet.plate import background_plate
from metapix.puppet.puppet import Puppet
from metapix.tasks import nearest_frames, with_pose

REFERENCE_CHANNELS = {"none": 0, "plate": 3, "puppet": 7}
"""Channels that a reference adds to the 18 of the pose: the plate's colours, or the puppet's colours, alpha and plate."""


_NEIGHBOURS = [(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1) if (x, y) != (0, 0)]
_REACH = 16
"""How far from the puppet a network may change the picture: this part of the side."""


class Reference:
    """What K frames of a person say about a picture of that person in another pose.

    Args:
        kind: ``"none"``, ``"plate"`` or ``"puppet"``.
        shots: the K frames, at the size of the pictures to come; nothing else is ever looked at.

    Raises:
        ValueError: for an unknown kind.
        InputError: when there is no frame.
    """

    def __init__(self, kind: str, shots: Clip) -> None:
        if kind not in REFERENCE_CHANNELS:
            raise ValueError(unknown_name("reference", kind, REFERENCE_CHANNELS))
        self.kind = kind
        self._shots = shots
        self.plate = background_plate(shots) if kind != "none" else None
        self.puppet = Puppet(shots, self.plate) if kind == "puppet" else None

    def channels(self, joints: Tensor, boxes: Tensor | None, size: int) -> Tensor:
        """The reference for these poses, as further input channels.

        Args:
            joints: (N, 18, 3) in pixels of a ``size`` x ``size`` picture.
            boxes: (N, 3) each picture's part of the camera's, as in :class:`Clip`; ``None``: the frames' own.

        Returns:
            (N, R, size, size), R as in ``REFERENCE_CHANNELS``: colours and alpha in [-1, 1].
        """
        if self.puppet is not None:
            frames = self.puppet.render(joints, boxes, size)
            return torch.cat([frames.person, frames.alpha * 2 - 1, frames.plate], dim=1)
        if self.plate is not None:
            return self._rooms(joints, boxes, size)
        return joints.new_zeros(len(joints), 0, size, size)

    def _rooms(self, joints: Tensor, boxes: Tensor | None, size: int) -> Tensor:
        """The plate behind each pose; where each frame has a room of its own, that of the frame with the nearest pose."""
        assert self.plate is not None
        nearest = nearest_frames(self._shots, scale_joints(joints, self._shots.size / size))
        return self.plate.crops(boxes, size, nearest)


class ReferenceGenerator(nn.Module):
    """A global generator around a reference: it says how to change it, and changes nothing before it is trained.

    Its network gives a few numbers for each pixel, all in [-1, 1] and all zero at the start:

    - ``"puppet"``: a gate, a colour, and a share for each of the eight neighbours:
      ``image = base + near * (gate * (person - plate) + colour + sum of share * (neighbour - base))``, where ``base`` is the
      puppet over the plate. The gate moves the border between what is taken from the warped person and what from the plate; the
      shares shift, soften and close seams with colours that are there already, so that they work on people of any colour; the
      colour adds what is nowhere near. ``near`` is 1 within a sixteenth of the picture's side of the puppet and 0 beyond: the
      empty room is known;
    - ``"plate"``: a gate and a colour: ``image = plate + gate * (colour - plate)``.

    The change is times ``strength``, a buffer: how far a person's few frames say that the network is to be trusted (1 in
    training; 0 gives the reference itself).

    Args:
        reference: ``"plate"`` or ``"puppet"``.
        pose_channels: of the pose, which come first in the input.
        base_channels, n_downsample, n_blocks, upsampling: as for :class:`gan_meta.models.pix2pixhd.GlobalGenerator`.
    """

    def __init__(
        self, reference: str, pose_channels: int, base_channels: int, n_downsample: int, n_blocks: int, upsampling: str = "resize"
    ) -> None:
        super().__init__()
        if reference not in ("plate", "puppet"):
            raise ValueError(unknown_name("reference", reference, ("plate", "puppet")))
        self.reference = reference
        self.pose_channels = pose_channels
        in_channels = pose_channels + REFERENCE_CHANNELS[reference]
        self.network = GlobalGenerator(
            in_channels,
            4 + (len(_NEIGHBOURS) if reference == "puppet" else 0),
            base_channels=base_channels,
            n_downsample=n_downsample,
            n_blocks=n_blocks,
            upsampling=upsampling,
        )
        last = [module for module in self.network.modules() if isinstance(module, nn.Conv2d)][-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(nn.Parameter, last.bias))
        self.register_buffer("strength", torch.ones(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, pose_channels + R, H, W), pose first, to (N, 3, H, W); about [-1, 1], not clamped, so that every pixel keeps its gradient."""
        output: Tensor = self.network(inputs)
        gate, colour, blend = output[:, :1], output[:, 1:4], output[:, 4:]
        reference = inputs[:, self.pose_channels :]
        base = reference_image(reference)
        if self.reference == "plate":
            change = gate * (colour - reference)
        else:
            person, alpha, plate = _puppet_channels(reference)
            reach = alpha.shape[-1] // _REACH
            near = functional.max_pool2d(alpha, 2 * reach + 1, stride=1, padding=reach)
            change = near * (gate * (person - plate) + colour + _mixed_in(base, blend))
        return base + cast(Tensor, self.strength) * change


def reference_image(channels: Tensor) -> Tensor:
    """(N, 3, S, S): the picture that a reference's (N, R, S, S) channels are of: the plate, or the puppet over the plate."""
    if channels.shape[1] == REFERENCE_CHANNELS["plate"]:
        return channels
    person, alpha, plate = _puppet_channels(channels)
    return plate + alpha * (person - plate)


def _mixed_in(image: Tensor, shares: Tensor) -> Tensor:
    """What changes in (N, 3, H, W) when each pixel takes (N, 8, H, W) shares of its eight neighbours, and gives up as much of itself."""
    height, width = image.shape[-2:]
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    change = torch.zeros_like(image)
    for number, (x, y) in enumerate(_NEIGHBOURS):
        neighbour = padded[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width]
        change = change + shares[:, number : number + 1] * (neighbour - image)
    return change


def _puppet_channels(channels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Person (N, 3, S, S), alpha (N, 1, S, S) in [0, 1], plate (N, 3, S, S)."""
    return channels[:, :3], (channels[:, 3:4] + 1) / 2, channels[:, 4:]


@gm.models.register("metapix-reference")
def build_reference_pair(
    reference: str = "puppet",
    pose_channels: int = N_JOINTS,
    base_channels: int = 16,
    n_downsample: int = 2,
    n_blocks: int = 3,
    upsampling: str = "resize",
    discriminator_channels: int = 0,
    n_layers: int = 3,
    n_scales: int = 2,
) -> gm.GANPair:
    """A pair whose generator starts from a reference.

    Args:
        discriminator_channels: base width of the discriminator; 0 for a generator alone.
    """
    generator = ReferenceGenerator(reference, pose_channels, base_channels, n_downsample, n_blocks, upsampling)
    if not discriminator_channels:
        return gm.GANPair(generator)
    in_channels = pose_channels + REFERENCE_CHANNELS[reference] + 3
    return gm.GANPair(
        generator, MultiscaleDiscriminator(in_channels, base_channels=discriminator_channels, n_layers=n_layers, n_scales=n_scales)
    )


def reference_of(pair: gm.GANPair) -> str:
    """The kind of reference a pair takes: what it was built with, ``"none"`` for the paper's."""
    return str(pair.model_arguments.get("reference", "none"))


def trusted(pair: gm.GANPair, strength: float) -> gm.GANPair:
    """The pair, in place, with this share of its network's change; a pair without a reference stays as it is."""
    if isinstance(pair.generator, ReferenceGenerator):
        cast(Tensor, pair.generator.strength).fill_(strength)
    return pair


def shot_samples(shots: Clip, kind: str, *, pairs: bool = True, person_weight: float = 0.0) -> gm.Batch:
    """The K frames as samples to learn from; a frame's reference never comes from the frame itself, or the network would learn to copy.

    Args:
        shots: K frames.
        kind: the reference, ``"plate"`` or ``"puppet"``.
        pairs: each frame has a reference made of the other K - 1 and, with this, one of each other frame alone: K + K (K - 1) samples.
        person_weight: how much more the pixels near the skeleton weigh; with 0 the samples have no weights.

    Returns:
        ``"pose"`` (M, 18 + R, S, S), ``"image"`` (M, 3, S, S) in [-1, 1] and maybe ``"weight"`` (M, 1, S, S); M = 0 for a
        single frame, from which nothing can be left out.
    """
    count = len(shots)
    parts: list[gm.Batch] = []
    for target in range(count):
        others = [number for number in range(count) if number != target]
        sources = [others] if others else []
        if pairs and len(others) > 1:
            sources += [[number] for number in others]
        frame = shots.select([target])
        for source in sources:
            channels = Reference(kind, shots.select(source)).channels(frame.joints, frame.boxes, shots.size)
            parts.append(with_pose(frame, channels, person_weight))
    if not parts:
        empty = shots.select([])
        return with_pose(empty, torch.zeros(0, REFERENCE_CHANNELS[kind], shots.size, shots.size), person_weight)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
