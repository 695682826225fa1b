"""Poses as label maps: classes where the limbs are, one-hot, flipped with their sides, and never mixed up with heatmaps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from metapix.errors import InputError
from metapix.performer import load_performer, save_performer
from metapix.personalize import draw, personalize, pose_inputs
from metapix.poses.pose_labels import (
    LABEL_MODEL,
    LIMBS,
    MIRROR_CLASSES,
    check_pose_facts,
    draw_poses,
    flip_labels,
    label_maps,
    one_hot,
    pose_facts,
    pose_of,
)
from metapix.poses.skeleton import INDEX, JOINTS, MIRROR
from metapix.recipe import Recipe

import gan_meta as gm
from tests.metapix.stick import SIZE, clip_of, pose, wall

SMALL = {"base_channels": 4, "n_downsample": 1, "n_blocks": 1, "discriminator_channels": 4}


def test_each_limb_has_a_class_of_its_own_at_its_middle() -> None:
    joints = pose(arms=(0.9, 0.6), legs=0.3)[None]
    labels = label_maps(joints, SIZE)[0]
    for limb in ("right_shoulder", "right_elbow"), ("left_elbow", "left_wrist"), ("right_hip", "right_knee"), ("left_knee", "left_ankle"):
        a, b = (INDEX[name] for name in limb)
        x, y = ((joints[0, a, :2] + joints[0, b, :2]) / 2).round().long().tolist()
        assert labels[y, x] == LIMBS.index((a, b)) + 1, limb
    assert labels[0].max() == 0
    joints[0, INDEX["left_wrist"], 2] = 0
    assert not (label_maps(joints, SIZE) == LIMBS.index((INDEX["left_elbow"], INDEX["left_wrist"])) + 1).any()


def test_one_hot_adds_up_to_one_and_holds_eighteen_classes() -> None:
    drawn = draw_poses(torch.stack([pose(), pose(40)]), SIZE, "labels")
    assert drawn.shape == (2, 18, SIZE, SIZE)
    assert torch.equal(drawn.sum(1), torch.ones(2, SIZE, SIZE))
    assert torch.equal(drawn.argmax(1), label_maps(torch.stack([pose(), pose(40)]), SIZE).long())
    with pytest.raises(InputError, match="class 18"):
        one_hot(torch.full((1, 2, 2), 18, dtype=torch.uint8))
    with pytest.raises(ValueError, match="did you mean 'labels'"):
        draw_poses(pose()[None], SIZE, "label")


def test_a_flip_swaps_the_sides() -> None:
    joints = pose(30.5, arms=(1.2, 0.7), legs=0.3)[None]
    joints[:, INDEX["nose"] :][:, [INDEX[f"{s}_{f}"] for s in ("left", "right") for f in ("eye", "ear")], 2] = 0  # they overlap
    mirrored = joints[:, list(MIRROR)].clone()
    mirrored[..., 0] = SIZE - 1 - mirrored[..., 0]
    flipped = flip_labels({"pose": draw_poses(joints, SIZE, "labels")})["pose"]
    differing = (flipped != draw_poses(mirrored, SIZE, "labels")).any(1).float().mean()
    assert float(differing) < 0.003, "but for pixels where limbs meet, which go to the later class"
    assert sorted(MIRROR_CLASSES) == list(range(18))
    assert [MIRROR_CLASSES[MIRROR_CLASSES[c]] for c in range(18)] == list(range(18))


def test_a_pair_of_label_maps_is_told_from_one_of_heatmaps_through_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = gm.models.create(LABEL_MODEL, **SMALL)
    shots = clip_of([wall(1)] * 2, [pose(28), pose(34)])
    recipe = Recipe(size=SIZE, lr=1e-3, mirror=True)
    adapted = personalize(start, shots, recipe.objective(), recipe.inner(2), 0)
    save_performer(tmp_path / "m.safetensors", adapted, shots, {"size": SIZE, "pose": pose_facts(adapted)})
    loaded = load_performer(tmp_path / "m.safetensors")
    assert loaded.pair is not None
    assert pose_of(loaded.pair) == "labels"
    expected = adapted.generator(draw_poses(shots.joints, SIZE, "labels")).detach()
    torch.testing.assert_close(draw(loaded.pair, pose_inputs(loaded.pair, shots, shots)), expected, rtol=0, atol=1e-5)
    assert pose_of(gm.models.create("pix2pixhd", **SMALL)) == "heatmaps"


def test_models_of_another_skeleton_are_refused() -> None:
    check_pose_facts("m", None)
    check_pose_facts("m", {"input": "labels", "joints": list(JOINTS)})
    with pytest.raises(InputError, match="another skeleton"):
        check_pose_facts("m", {"input": "heatmaps", "joints": list(JOINTS[:14])})
    with pytest.raises(InputError, match="'rainbow'"):
        check_pose_facts("m", {"input": "rainbow", "joints": list(JOINTS)})
