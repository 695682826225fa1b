"""The puppet on a painted stick person: every part has its own colour, so each pixel tells where it came from."""

from __future__ import annotations

import pytest
import torch
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.poses.skeleton import INDEX
from metapix.puppet.puppet import Puppet
from torch import Tensor

from gan_meta.metrics import image_metrics, masked_psnr
from tests.metapix.stick import COLOURS, SIZE, clip_of, pose, wall

SOURCES = [
    pose(16.0, arms=(0.5, 0.5)),
    pose(24.0, arms=(1.2, 0.6), bend=0.5),
    pose(32.0, arms=(0.6, 1.4), bend=0.3),
    pose(40.0, arms=(1.5, 1.5)),
    pose(48.0, arms=(0.8, 0.8), legs=0.35),
]


def clip() -> Clip:
    return clip_of([wall(0)] * len(SOURCES), SOURCES)


@pytest.fixture(scope="module")
def puppet() -> Puppet:
    torch.set_num_threads(1)
    return Puppet(clip())


def colour_at(image: Tensor, place: Tensor) -> Tensor:
    x, y = place.round().int().tolist()
    return (image[:, y, x] + 1) * 127.5


def difference(image: Tensor, place: Tensor, part: str) -> float:
    """Largest difference of a channel, of 255, from a part's colour."""
    return float((colour_at(image, place) - torch.tensor(COLOURS[part], dtype=torch.float32)).abs().max())


def middle(joints: Tensor, a: str, b: str, share: float = 0.5) -> Tensor:
    return joints[INDEX[a], :2] * (1 - share) + joints[INDEX[b], :2] * share


def test_in_a_source_pose_the_puppet_is_the_source_frame(puppet: Puppet) -> None:
    source = clip()
    frames, real = puppet.render(source.joints), source.frames.float() / 127.5 - 1
    assert source.masks is not None
    assert float(masked_psnr(frames.image, real, source.masks.float() / 255).min()) > 24
    assert float(image_metrics(frames.image, real)["psnr"].min()) > 27


def test_limbs_go_where_the_joints_say_and_leave_where_they_were(puppet: Puppet) -> None:
    wanted = pose(28.0, arms=(2.4, 0.2), legs=0.5)
    image = puppet.render(wanted[None]).image[0]
    for a, b, part in (
        ("right_shoulder", "right_elbow", "right_arm"),
        ("right_elbow", "right_wrist", "right_arm"),
        ("left_elbow", "left_wrist", "left_arm"),
        ("right_hip", "right_knee", "right_leg"),
        ("left_knee", "left_ankle", "left_leg"),
        ("nose", "neck", "head"),
    ):
        share = 0.6 if part != "head" else 0.1
        assert difference(image, middle(wanted, a, b, share), part) < 40, (a, b)
    room = torch.from_numpy(wall(0)).permute(2, 0, 1).float() / 127.5 - 1
    left_hand_before = SOURCES[3][INDEX["left_wrist"], :2]
    assert float((colour_at(image, left_hand_before) - colour_at(room, left_hand_before)).abs().max()) < 3


def test_joints_hold_together_when_they_bend(puppet: Puppet) -> None:
    wanted = torch.stack([pose(32.0, arms=(1.0, 1.0), bend=bend) for bend in (-1.4, -0.7, 0.7, 1.4)])
    alpha = puppet.render(wanted).alpha
    for index, joints in enumerate(wanted):
        for share in torch.linspace(0, 0.8, 9):
            for bone in (("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist")):
                x, y = middle(joints, *bone, float(share)).round().int().tolist()
                assert float(alpha[index, 0, y, x]) > 0.8, (index, bone, float(share))


def test_the_head_is_whole(puppet: Puppet) -> None:
    image = puppet.render(SOURCES[2][None]).image[0]
    crown = SOURCES[2][INDEX["nose"], :2] + torch.tensor([0.0, -4.0])
    assert difference(image, crown, "head") < 40


def test_an_arm_is_in_front_of_a_belly_and_behind_a_back() -> None:
    front = pose(32.0, arms=(0.2, 0.2), bend=-2.2)  # both forearms across the belly
    across = middle(front, "left_elbow", "left_wrist", 0.6)
    image = Puppet(clip()).render(front[None]).image[0]
    assert difference(image, across, "left_arm") < 60
    sources = [pose(x, arms=arms, back=True) for x, arms in ((16.0, (0.5, 0.5)), (32.0, (1.2, 1.2)), (48.0, (1.5, 0.9)))]
    behind = pose(32.0, arms=(0.2, 0.2), bend=-2.2, back=True)
    image = Puppet(clip_of([wall(0)] * 3, sources)).render(behind[None]).image[0]
    assert difference(image, middle(behind, "left_elbow", "left_wrist", 0.6), "torso") < 60


def test_a_source_that_hides_a_limb_is_not_the_one_it_is_read_from() -> None:
    hidden = pose(20.0, arms=(0.5, 0.2), bend=-2.2)
    shown = pose(44.0, arms=(0.5, 0.9))
    both = clip_of([wall(0)] * 2, [hidden, shown])
    frames = both.frames.clone()
    frames[0, :, :, :32] = 0  # the frame that shows the forearm badly is black here
    wanted = pose(32.0, arms=(0.5, 1.0))
    image = Puppet(Clip("c", frames, both.joints, masks=both.masks)).render(wanted[None]).image[0]
    assert difference(image, middle(wanted, "left_elbow", "left_wrist"), "left_arm") < 60


def test_a_small_move_changes_the_picture_little(puppet: Puppet) -> None:
    steps = torch.stack([pose(32.0 + 0.05 * k, arms=(0.5 + 0.01 * k, 1.6 - 0.01 * k)) for k in range(80)])
    image = puppet.render(steps).image
    change = image.diff(dim=0).abs().flatten(1).mean(1)
    assert float(change.max()) < 4 * float(change.median())  # no jump where another source takes over


def test_a_part_with_an_unseen_joint_is_left_out(puppet: Puppet) -> None:
    joints = SOURCES[3].clone()
    joints[INDEX["left_wrist"], 2] = 0
    frames = puppet.render(joints[None])
    x, y = middle(SOURCES[3], "left_elbow", "left_wrist", 0.8).round().int().tolist()
    assert float(frames.alpha[0, 0, y, x]) < 0.1
    x, y = middle(SOURCES[3], "left_shoulder", "left_elbow").round().int().tolist()
    assert float(frames.alpha[0, 0, y, x]) > 0.9


@pytest.mark.parametrize("change", ["unseen", "outside", "one point", "not a number", "huge"])
def test_without_a_person_to_draw_the_room_is_shown(puppet: Puppet, change: str) -> None:
    joints = SOURCES[0][None].repeat(2, 1, 1)
    if change == "unseen":
        joints[..., 2] = 0
    elif change == "outside":
        joints[..., :2] += 1e4
    elif change == "one point":
        joints[..., :2] = -500
    elif change == "not a number":
        joints[..., 0] = torch.nan
    else:
        joints[..., :2] = 1e9
    frames = puppet.render(joints)
    assert torch.equal(frames.image, frames.plate)
    assert float(frames.alpha.max()) == 0


@pytest.mark.parametrize("masks", ["none", "empty", "full"])
@pytest.mark.parametrize("seen", [True, False])
def test_bad_sources_give_finite_frames(masks: str, seen: bool) -> None:
    good = clip().select([0, 3])
    layers = {"none": None, "empty": torch.zeros_like(good.frames[:, :1]), "full": torch.full_like(good.frames[:, :1], 255)}
    joints = good.joints if seen else torch.zeros_like(good.joints)
    frames = Puppet(Clip("bad", good.frames, joints, masks=layers[masks])).render(torch.stack(SOURCES))
    for tensor in (frames.image, frames.alpha, frames.person, frames.plate):
        assert bool(tensor.isfinite().all())
    assert float(frames.image.abs().max()) <= 1
    if masks == "none" and seen:
        assert float(frames.alpha.amax()) > 0.9


def test_a_joint_seen_in_some_sources_only_is_taken_from_those() -> None:
    sources = clip()
    joints = sources.joints.clone()
    joints[:3, INDEX["right_ankle"], 2] = 0
    frames = Puppet(Clip("c", sources.frames, joints, masks=sources.masks)).render(SOURCES[2][None])
    assert difference(frames.image[0], middle(SOURCES[2], "right_knee", "right_ankle"), "right_leg") < 40


def test_the_same_input_gives_the_same_frames_in_any_batch(puppet: Puppet) -> None:
    joints = torch.stack([pose(20.0 + k, arms=(0.3 * k, 0.2 * k)) for k in range(5)])
    together = puppet.render(joints)
    assert torch.equal(together.image, Puppet(clip()).render(joints).image)
    alone = torch.cat([puppet.render(joints[k : k + 1]).image for k in range(5)])
    torch.testing.assert_close(together.image, alone, rtol=0, atol=1e-5)


def test_long_videos_go_through_in_groups(puppet: Puppet) -> None:
    joints = SOURCES[1][None].repeat(70, 1, 1)
    image = puppet.render(joints).image
    assert tuple(image.shape) == (70, 3, SIZE, SIZE)
    torch.testing.assert_close(image[69], image[0], rtol=0, atol=1e-5)


def test_frames_outside_the_selection_reach_nothing() -> None:
    full = clip()
    changed = Clip("stick", full.frames.clone(), full.joints.clone(), full.fps, torch.zeros_like(full.frames[:, :1]))
    assert full.masks is not None
    assert changed.masks is not None
    changed.frames[[1, 3]] = 0
    changed.masks[[0, 2, 4]] = full.masks[[0, 2, 4]]
    changed.joints[[1, 3]] = 0
    wanted = torch.stack([pose(30.0), pose(36.0, arms=(1.0, 1.0))])
    a, b = (Puppet(whole.select([0, 2, 4])).render(wanted) for whole in (full, changed))
    assert torch.equal(a.image, b.image)


def test_a_larger_picture_of_the_same_pose_is_the_same_picture(puppet: Puppet) -> None:
    joints = SOURCES[1].clone()
    joints[:, :2] = joints[:, :2] * 2 + 0.5
    large = puppet.render(joints[None], size=2 * SIZE)
    assert tuple(large.image.shape) == (1, 3, 2 * SIZE, 2 * SIZE)
    small = torch.nn.functional.avg_pool2d(large.image, 2)
    assert float(image_metrics(small, puppet.render(SOURCES[1][None]).image)["psnr"]) > 28


def test_boxes_move_the_room() -> None:
    boxes = torch.tensor([[0.0, 0.0, SIZE]]).repeat(5, 1)
    still = clip()
    moved = Puppet(Clip("c", still.frames, still.joints, masks=still.masks, boxes=boxes))
    unseen = torch.zeros(1, 18, 3)
    room = moved.render(unseen, boxes[:1]).image
    shifted = moved.render(unseen, boxes[:1] + torch.tensor([[8.0, 0.0, 0.0]])).image
    torch.testing.assert_close(shifted[..., :-8], room[..., 8:], rtol=0, atol=1e-5)


def test_a_back_for_a_chest_keeps_its_width(puppet: Puppet) -> None:
    wanted = torch.stack([pose(32.0), pose(32.0, back=True)])
    area = puppet.render(wanted).alpha.flatten(1).sum(1)
    assert 0.8 < float(area[1] / area[0]) < 1.25


def test_wrong_shapes_are_refused(puppet: Puppet) -> None:
    with pytest.raises(InputError, match=r"joints must be \(N, 18, 3\)"):
        puppet.render(torch.zeros(18, 3))
    with pytest.raises(InputError, match=r"boxes must be \(2, 3\)"):
        puppet.render(torch.zeros(2, 18, 3), torch.zeros(1, 3))
    with pytest.raises(InputError, match="no frames"):
        Puppet(clip().select(slice(0)))
