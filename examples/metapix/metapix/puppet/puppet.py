"""The puppet: a person from K frames in any pose, put together from their limbs over the empty room, without learning."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_meta.models.limbs import segment_distance
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.poses.skeleton import N_JOINTS
from metapix.puppet.background import body_masks
from metapix.puppet.body import PARTS, TORSO, Body, measure, proportions
from metapix.puppet.canvas import Canvas, Window
from metapix.puppet.layers import REACH, cut_layers, smoothstep
from metapix.puppet.lookup import source_places
from metapix.puppet.plate import Plate, background_plate
from metapix.puppet.selection import Choice, choose_sources

_ORDER = 4.0  # how strictly a part in front covers one behind: the weight of depth 1 over depth 0 is e^4
_AT_ONCE = 32  # frames; bounds the memory of long videos
_MASK_EDGE = (0.02, 0.98)  # soft masks are steepened a little


@dataclass(frozen=True, eq=False)
class PuppetFrames:
    """N rendered frames.

    Attributes:
        image: (N, 3, S, S) in [-1, 1]: the person over the plate.
        alpha: (N, 1, S, S) in [0, 1]: how surely a pixel shows the person.
        plate: (N, 3, S, S) in [-1, 1]: the room.
        person: (N, 3, S, S) in [-1, 1]: the person alone, mid grey (0) where there is none.
    """

    image: Tensor
    alpha: Tensor
    plate: Tensor
    person: Tensor


class Puppet:
    """One person, ready to be posed. Made from all frames of a clip: select the K allowed frames before.

    Each of ten parts is read, through the transform that takes its target joints to its source joints, from the source frames
    that show it best; parts in front cover those behind, and neighbours blend at their joint.

    Args:
        clip: K frames with joints; without masks the person is taken to be around the joints.
        plate: the room; default :func:`metapix.puppet.plate.background_plate` of the same clip.
        device: where to compute; default the frames' device.

    Raises:
        InputError: the clip has no frame.
    """

    def __init__(self, clip: Clip, plate: Plate | None = None, device: torch.device | str | None = None) -> None:
        if len(clip) == 0:
            raise InputError(f"The clip {clip.name!r} has no frames; a puppet needs at least one.")
        self.device = torch.device(device) if device is not None else clip.frames.device
        self.size = clip.size
        self.plate = (plate or background_plate(clip)).to(self.device)
        joints = clip.joints.to(self.device)
        masks = body_masks(clip.joints, clip.size) if clip.masks is None else clip.masks
        images, person = clip.frames.to(self.device).float() / 127.5 - 1, masks.to(self.device).float() / 255
        self._proportions = proportions(joints)
        self._source = measure(joints, self._proportions)
        self._layers, self._visible = cut_layers(images, smoothstep(person, *_MASK_EDGE), self._source)

    @torch.no_grad()
    def render(self, joints: Tensor, boxes: Tensor | None = None, size: int | None = None) -> PuppetFrames:
        """The person in these poses.

        Args:
            joints: (N, 18, 3): x, y in pixels of the result, and a confidence. A part with a joint of confidence 0 is left out.
            boxes: (N, 3) left, top, side of each frame in the camera's pixels, for the plate; ``None``: the K frames' middle one.
            size: side of the result; default the clip's.

        Returns:
            Frames on the puppet's device. The same input gives the same frames, in batches of any size.

        Raises:
            InputError: joints are not (N, 18, 3) with N at least 1, or boxes not (N, 3).
        """
        if joints.dim() != 3 or tuple(joints.shape[1:]) != (N_JOINTS, 3) or len(joints) == 0:
            raise InputError(f"joints must be (N, {N_JOINTS}, 3) with at least one pose, got {tuple(joints.shape)}.")
        if boxes is not None and tuple(boxes.shape) != (len(joints), 3):
            raise InputError(f"boxes must be ({len(joints)}, 3), one for each pose, got {tuple(boxes.shape)}.")
        side = size or self.size
        groups = torch.split(torch.arange(len(joints)), _AT_ONCE)
        parts = [self._render(joints[g].to(self.device), None if boxes is None else boxes[g], side) for g in groups]
        image, alpha, plate, person = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return PuppetFrames(image, alpha, plate, person)

    def _render(self, joints: Tensor, boxes: Tensor | None, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        target = measure(joints.float(), self._proportions)
        choice = choose_sources(target, self._source, self._visible)
        canvas = Canvas(len(target), size, like=target.joints)
        for part in range(len(PARTS)):
            self._add(part, target, choice, canvas)
        person, alpha = canvas.finish()
        plate = self.plate.crops(boxes, size, choice.sources[:, 0, TORSO])
        return alpha * person + (1 - alpha) * plate, alpha, plate, person

    def _add(self, part: int, target: Body, choice: Choice, canvas: Canvas) -> None:
        window = canvas.window(target.reach[:, part], REACH[1] * target.radius[:, part])
        if window is None:
            return
        distance = segment_distance(window.grid, target.reach[:, part], target.radius[:, part], target.radius[:, part])
        colour, person, belongs, hidden = torch.split(self._read(part, target, choice, window), [3, 1, 1, 1], dim=1)
        # Where the blended sources hide this part, those that show it decide.
        shown = (1 - hidden).clamp_min(0.05)
        reach = (1 - smoothstep(distance, *REACH)).unsqueeze(1) * target.seen[:, part, None, None, None]
        given = (belongs / shown).clamp(0, 1)
        share = smoothstep(given, 0.0, 1.0) * reach  # what is mostly this part's is all of it once the parts move apart
        alpha = (person / belongs.clamp_min(1e-3)).clamp(0, 1) * share
        weight = alpha * torch.exp(_ORDER * target.depth[:, part, None, None, None] - distance.square().unsqueeze(1))
        canvas.add(window, colour / person.clamp_min(1e-3), alpha, share, weight)

    def _read(self, part: int, target: Body, choice: Choice, window: Window) -> Tensor:
        """A part's layer in the target pose: the weighted mean of the chosen sources, (N, 6, h, w)."""
        blended = window.grid.new_zeros(())
        for sources, weights in zip(choice.sources[..., part].unbind(1), choice.weights[..., part].unbind(1), strict=True):
            places = source_places(part, target, self._source, sources, window.grid)
            blended = blended + weights[:, None, None, None] * self._layers[part].read(sources, places)
        return blended
