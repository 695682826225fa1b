"""Laws of the drawn dancers: determinism, rigid bones, sound joints and masks, occlusion, and the same picture at every size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from metapix.data.clip import Clip
from metapix.data.drawn import Noise, draw_clip, draw_clips, plate
from metapix.data.drawn.body import Pose
from metapix.data.drawn.clip import Scene, Stage
from metapix.data.drawn.joints import HIDDEN, confidence, joint_places
from metapix.data.drawn.kinematics import Skeleton, bend, solve
from metapix.data.drawn.motion import BEATS, pose_at
from metapix.data.drawn.render import Figure, Layer, Renderer, bone_matrices
from metapix.data.drawn.wardrobe import person_surfaces
from metapix.errors import InputError
from metapix.poses.skeleton import INDEX, JOINTS
from numpy.typing import NDArray
from torch.nn import functional

Array = NDArray[np.float64]
SEEDS = range(6)
RIGID = (
    ("neck", "right_shoulder"), ("neck", "left_shoulder"), ("right_shoulder", "right_elbow"), ("left_shoulder", "left_elbow"),
    ("right_elbow", "right_wrist"), ("left_elbow", "left_wrist"), ("right_hip", "left_hip"), ("right_hip", "right_knee"),
    ("left_hip", "left_knee"), ("right_knee", "right_ankle"), ("left_knee", "left_ankle"), ("nose", "left_eye"), ("left_eye", "left_ear"),
)  # fmt: skip


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return draw_clips(SEEDS, 40, 64)


def standing(scene: Scene, yaw: float, right_wrist: tuple[float, float, float] = (0.2, -0.9, 0.1)) -> Pose:
    """Upright at the origin with the left arm hanging."""
    rest, one = scene.person.rest, np.ones(1)
    wrists = np.array([[right_wrist, (0.2, -0.9, 0.1)]])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    feet = np.stack([turn @ rest[f"{side}_foot"] for side in ("right", "left")])[None]
    still = np.zeros((1, 3))
    return Pose(np.zeros((1, 2)), 0 * one, yaw * one, still, still, still, wrists, feet, np.full((1, 2), yaw), 0 * one, np.zeros((1, 2)))


def test_same_seed_same_bytes_and_frames_do_not_depend_on_how_many_follow() -> None:
    short, long = draw_clip(5, 3, 48), draw_clip(5, 9, 48)
    assert torch.equal(short.frames, long.frames[:3])
    assert torch.equal(short.joints, long.joints[:3])
    assert short.masks is not None
    assert long.masks is not None
    assert torch.equal(short.masks, long.masks[:3])
    assert (short.name, short.kind, short.boxes, short.fps) == ("drawn-5", "drawn", None, 30.0)
    assert not torch.equal(short.frames, draw_clip(6, 3, 48).frames)


def test_half_the_frame_rate_shows_every_second_frame() -> None:
    assert torch.equal(draw_clip(2, 3, 48, fps=15.0).frames, draw_clip(2, 5, 48).frames[::2])


def test_visible_limb_joints_lie_on_the_mask(clips: list[Clip]) -> None:
    limbs = [i for i, name in enumerate(JOINTS) if name.rpartition("_")[2] in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")]
    for clip in clips:
        assert clip.masks is not None
        at = (clip.joints[:, limbs, :2] + 0.5) * 2 / clip.size - 1
        cover = functional.grid_sample(clip.masks.float() / 255, at[:, None], align_corners=False)[:, 0, 0]
        visible = clip.joints[:, limbs, 2] > 0.9
        assert visible.float().mean() > 0.4
        assert cover[visible].mean() > 0.9, clip.name


def test_bones_keep_their_length_and_feet_stay_above_the_floor() -> None:
    for seed in SEEDS:
        scene = Scene.sample(seed)
        skeleton = scene.skeleton(np.linspace(0, 20, 301))
        places = joint_places(scene.person, skeleton)
        for a, b in RIGID:
            length = np.linalg.norm(places[:, INDEX[a]] - places[:, INDEX[b]], axis=-1)
            assert np.ptp(length) < 1e-6, (a, b)
        ankles = places[:, [INDEX["right_ankle"], INDEX["left_ankle"]], 1]
        floor = scene.person.rest["right_foot"][1]
        assert ankles.min() > floor - 0.03
        assert np.mean(ankles.min(1) < floor + 0.04) > 0.85, "nearly always a foot stands on the floor"


def test_bend_reaches_its_goal_and_folds_the_right_way() -> None:
    zero, pole = np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]])
    goal = np.array([[0.1, -0.5, 0.05]])
    upper, lower, knee, end = bend(zero, goal, pole, (0.4, 0.3), -1.0)
    np.testing.assert_allclose(end, goal, atol=1e-12)
    np.testing.assert_allclose([np.linalg.norm(knee), np.linalg.norm(end - knee)], [0.4, 0.3], atol=1e-12)
    assert knee[0, 2] > 0.1
    for turn in (upper, lower):
        np.testing.assert_allclose(turn[0] @ turn[0].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn[0]) == pytest.approx(1.0)
    np.testing.assert_allclose(upper[0] @ [0, -0.4, 0] + lower[0] @ [0, -0.3, 0], goal[0], atol=1e-12)


def test_motion_is_smooth_varied_and_repeats_without_a_seam() -> None:
    spread = []
    for seed in range(10):
        scene = Scene.sample(seed)
        places = joint_places(scene.person, scene.skeleton(np.arange(80) / 30))
        speed = np.linalg.norm(np.diff(places, axis=0), axis=-1) * 30
        assert speed.max() < 13.0, "metres a second"
        assert np.percentile(speed, 99) < 7.0
        wrists = [INDEX["right_wrist"], INDEX["left_wrist"]]
        spread.append(np.linalg.norm(places[:40, wrists].std(0), axis=-1).mean())
        round_trip = BEATS * scene.dance.beat
        seam = np.array([round_trip - 1e-4, round_trip + 1e-4])
        jump = np.abs(np.diff(joint_places(scene.person, solve(scene.person, pose_at(scene.dance, scene.person, seam))), axis=0))
        assert jump.max() < 0.01
    assert np.mean(spread) > 0.2, "wrists wander by more than 20 cm within 40 frames"


def test_left_and_right_are_the_persons_own() -> None:
    scene = Scene.sample(3)
    for yaw, sign in ((0.0, 1), (np.pi, -1)):
        seen = scene.camera.project(joint_places(scene.person, solve(scene.person, standing(scene, yaw))))[0]
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "eye", "ear"):
            assert sign * (seen[INDEX[f"left_{part}"], 0] - seen[INDEX[f"right_{part}"], 0]) > 0.01, part


def render(scene: Scene, pose: Pose, size: int = 96) -> tuple[Layer, Array]:
    """The person with a red right hand and all the rest green, and the joints as seen."""
    surfaces = person_surfaces(scene.person, np.random.default_rng(1), 0.5, 0.006)
    painted = [surface.dyed(np.array([1.0, 0.0, 0.0] if surface.bones == ("right_hand",) else [0.0, 1.0, 0.0])) for surface in surfaces]
    painted = [replace(surface, gloss=0.0) for surface in painted]
    skeleton: Skeleton = solve(scene.person, pose)
    draw = Renderer(Figure(painted), scene.camera, scene.light, size, 2, torch.zeros(size, size, 2))
    layer = draw(bone_matrices(skeleton, scene.person.rest)[0])
    return layer, scene.camera.project(joint_places(scene.person, skeleton))[0]


def test_a_hand_before_the_chest_hides_the_shirt_and_from_behind_is_hidden() -> None:
    scene, size = Scene.sample(3), 96
    in_front = (-0.30, -0.35, 0.55)
    for yaw, red in ((0.0, True), (np.pi, False)):
        layer, seen = render(scene, standing(scene, yaw, in_front), size)
        x, y = (seen[INDEX["right_wrist"], :2] * size).astype(int)
        patch = layer.colour[y - 2 : y + 3, x - 2 : x + 3]
        assert (patch[..., 0].max() > 0.2) == red
        sure = confidence(seen, layer)
        assert sure[INDEX["right_wrist"]] == pytest.approx(1.0 if red else HIDDEN)
        assert sure[INDEX["nose"]] == pytest.approx(1.0 if red else HIDDEN)
        assert sure[INDEX["left_eye"]] == pytest.approx(1.0 if red else HIDDEN)


def test_the_mask_is_where_the_picture_differs_from_the_empty_room(clips: list[Clip]) -> None:
    for seed, clip in zip(SEEDS, clips, strict=True):
        assert clip.masks is not None
        difference = clip.frames.int() - plate(seed, 64).int()
        inside, outside = clip.masks[:, 0] == 255, clip.masks[:, 0] == 0
        assert (difference.abs().amax(1)[inside] > 8).float().mean() > 0.9
        assert difference.amax(1)[outside].max() <= 1, "outside the person there is the room, or its shadow"
        assert (difference.abs().amax(1)[outside] <= 1).float().mean() > 0.75


def test_the_whole_body_is_in_the_frame_and_fills_it(clips: list[Clip]) -> None:
    for clip in clips:
        assert clip.masks is not None
        border = torch.cat((clip.masks[..., 0, :], clip.masks[..., -1, :], clip.masks[..., 0], clip.masks[..., -1]), -1)
        assert border.max() == 0, clip.name
        rows = (clip.masks[:, 0] > 127).any(-1).sum(-1)
        assert 0.5 * 64 < rows.float().mean() < 0.95 * 64


def test_sizes_agree() -> None:
    small, large = draw_clip(4, 4, 64), draw_clip(4, 4, 128)
    shrunk = functional.avg_pool2d(large.frames.float() ** 2, 2).sqrt()
    assert (shrunk - small.frames).abs().mean() < 3.0
    assert small.masks is not None
    assert large.masks is not None
    assert (functional.avg_pool2d(large.masks.float(), 2) - small.masks).abs().mean() < 2.0
    torch.testing.assert_close((large.joints[..., :2] + 0.5) / 2, small.joints[..., :2] + 0.5, atol=1e-3, rtol=0)


def test_surfaces_have_no_holes() -> None:
    stage = Stage(Scene.sample(1), 64)
    matrices = bone_matrices(stage.scene.skeleton(np.arange(5) / 5), stage.scene.person.rest)
    for matrix in matrices:
        empty = (stage.render(matrix).nearest == 1 << 62).float()[None, None]
        around = functional.conv2d(empty, torch.tensor([[[[1.0, 1, 1], [1, 0, 1], [1, 1, 1]]]]), padding=1)
        assert ((empty == 1) & (around == 0)).sum() <= 2


def test_noise_moves_joints_by_what_it_says_and_is_off_by_default() -> None:
    clean = draw_clip(1, 30, 64)
    noisy = draw_clip(1, 30, 64, noise=Noise(jitter=1.5, dropout=0.2, grain=6.0))
    sure = clean.joints[..., 2] > 0.99
    moved = (noisy.joints[..., :2] - clean.joints[..., :2])[sure]
    assert moved.std() == pytest.approx(1.5, rel=0.12)
    assert (noisy.joints[..., 2] == 0).float().mean() == pytest.approx(0.2, abs=0.05)
    middle = (clean.frames > 30) & (clean.frames < 225)
    assert (noisy.frames.float() - clean.frames)[middle].std() == pytest.approx(6.0, rel=0.05)
    assert noisy.masks is not None
    assert clean.masks is not None
    assert torch.equal(noisy.masks, clean.masks)
    same = draw_clip(1, 30, 64, noise=Noise())
    assert same.masks is not None
    for ours, theirs in ((same.frames, clean.frames), (same.joints, clean.joints), (same.masks, clean.masks)):
        assert torch.equal(ours, theirs)


def test_noise_roughens_masks_blurs_motion_and_blocks_pictures() -> None:
    clean = draw_clip(1, 6, 64)
    rough = draw_clip(1, 6, 64, noise=Noise(mask_blur=1.0, mask_shift=0.8, motion_blur=1.0, blocks=0.8))
    assert clean.masks is not None
    assert rough.masks is not None
    unsure, surer = (((masks > 20) & (masks < 235)).float().mean() for masks in (rough.masks, clean.masks))
    assert unsure > 1.5 * surer
    area = rough.masks.float().mean((1, 2, 3)) / clean.masks.float().mean((1, 2, 3))
    assert area.std() > 0.03
    assert area.min() > 0.5
    assert area.max() < 1.8
    assert 1 < (rough.frames.float() - clean.frames).abs().mean() < 25


def test_bad_arguments_are_explained() -> None:
    for arguments in ((-1, 3, 64), (0, -1, 64), (0, 3, 8)):
        with pytest.raises(InputError, match="needs seed"):
            draw_clip(*arguments)
    with pytest.raises(InputError, match="fps"):
        draw_clip(0, 1, 64, fps=0.0)
    assert len(draw_clip(0, 0, 64)) == 0
