"""The paper's Pix2PixHD: the generator is told the pose and nothing else; person and room must come from its weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

import gan_meta as gm
from metapix.conditioning.protocol import Inputs
from metapix.data.clip import Clip
from metapix.poses.pose_labels import draw_poses, fit_flip
from metapix.tasks import with_pose


class PoseOnly:
    """Poses as pictures of 18 channels.

    Args:
        pose: ``"heatmaps"`` or ``"labels"``.
    """

    title, reference, fewest = "Pix2PixHD", "none", 1

    def __init__(self, pose: str = "heatmaps") -> None:
        self.pose = pose

    def count(self, frames: int) -> int:
        """As the protocol has it."""
        return 2 * frames  # each and its mirror image

    def samples(self, shots: Clip, person_weight: float = 0.0) -> gm.Batch:
        """A sample a frame."""
        return with_pose(shots, None, person_weight, self.pose)

    def memory(self, shots: Clip) -> PoseMemory:
        """Nothing: what the frames say is in the adapted weights."""
        return PoseMemory(self.pose)

    def fit(self, inner: gm.InnerLoop) -> gm.InnerLoop:
        """Flips that swap the channels of this pose input."""
        return fit_flip(inner, self.pose)

    def examples(self, frames: gm.BatchSource) -> gm.BatchSource:
        """The frames themselves."""
        return frames

    def support(self, frames: gm.Batch) -> gm.Batch:
        """The frames themselves."""
        return frames

    def tasks(self, people: Sequence[gm.BatchSource], shots: int, queries: int, names: Sequence[str]) -> gm.TaskSource:
        """K frames of somebody, and further ones as the query."""
        return gm.FewShotTasks(people, shots, queries, names)

    def inputs_of(self, batch: gm.Batch) -> Inputs:
        """The pose."""
        return (batch["pose"],)


class PoseMemory:
    """Draws poses."""

    def __init__(self, pose: str) -> None:
        self._pose = pose

    def inputs(self, joints: Tensor, _boxes: Tensor | None, size: int) -> Inputs:
        """(N, 18, size, size)."""
        return (draw_poses(joints, size, self._pose),)

    def base(self, _joints: Tensor, _boxes: Tensor | None, _size: int) -> None:
        """The network draws the whole."""
        return
