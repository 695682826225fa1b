"""The seam between pairs and what they are told: each kind answers the same questions in its own way."""

from __future__ import annotations

import pytest
import torch
from metapix.conditioning import conditioning_of
from metapix.conditioning.on_reference import OnReference
from metapix.conditioning.pose_only import PoseOnly
from metapix.data.drawn import draw_clip
from metapix.errors import InputError
from metapix.poses.pose_input import flip, joint_heatmaps
from metapix.poses.pose_labels import LABEL_MODEL, draw_poses, flip_labels

import gan_meta as gm

SMALL = {"base_channels": 4, "n_downsample": 1, "n_blocks": 1}


def test_the_kind_follows_from_the_model() -> None:
    assert conditioning_of(gm.models.create("pix2pixhd", **SMALL)).pose == "heatmaps"
    assert conditioning_of(gm.models.create(LABEL_MODEL, **SMALL)).pose == "labels"
    assert conditioning_of(gm.models.create("metapix-reference", reference="plate", **SMALL)).reference == "plate"
    assert isinstance(conditioning_of(gm.GANPair(torch.nn.Conv2d(18, 3, 1))), PoseOnly), "a pair made by hand is told poses"


def test_pose_only_samples_are_the_frames() -> None:
    clip = draw_clip(5, 2, 32, fps=4)
    samples = PoseOnly().samples(clip, person_weight=3.0)
    torch.testing.assert_close(samples["pose"], joint_heatmaps(clip.joints, 32))
    assert set(samples["weight"].unique().tolist()) == {1.0, 4.0}
    assert torch.equal(PoseOnly("labels").samples(clip)["pose"], draw_poses(clip.joints, 32, "labels"))


def test_flips_are_of_the_kind() -> None:
    inner = gm.InnerLoop(augment=(flip,))
    kinds = (PoseOnly("heatmaps"), PoseOnly("labels"), OnReference("puppet"))
    assert [kind.fit(inner).augment for kind in kinds] == [(flip,), (flip_labels,), (flip,)]


def test_references_are_trained_elsewhere() -> None:
    with pytest.raises(InputError, match="train-start"):
        OnReference("puppet").tasks([], 5, 0, [])
