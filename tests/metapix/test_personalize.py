"""Personalising plays the game on the K frames; generating draws poses batch by batch."""

from __future__ import annotations

import pytest
import torch
from metapix.conditioning import Poses, conditioning_of
from metapix.data.drawn import draw_clip
from metapix.errors import InputError
from metapix.personalize import draw, generate, personalize, pose_inputs
from metapix.poses.pose_input import joint_heatmaps, to_unit

import gan_meta as gm
from gan_meta.models.pix2pixhd import Pix2PixHDObjective

OBJECTIVE = Pix2PixHDObjective(perceptual=None, pixel=10.0)


def tiny_pair(pose_channels: int = 18) -> gm.GANPair:
    torch.manual_seed(0)
    return gm.models.create("pix2pixhd", pose_channels=pose_channels, base_channels=4, n_downsample=1, n_blocks=1, discriminator_channels=4)


def test_personalising_is_the_game_on_these_frames_and_leaves_the_start_alone() -> None:
    start, shots = tiny_pair(), draw_clip(1, 3, 32)
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    steps: list[int] = []
    inner = gm.InnerLoop(steps=4, lr=1e-3)
    adapted = personalize(start, shots, OBJECTIVE, inner, 3, lambda step, _pair, _losses: steps.append(step))
    batch = {"pose": joint_heatmaps(shots.joints, 32), "image": to_unit(shots.frames)}
    by_hand = gm.adapt(start, OBJECTIVE, batch, inner, 3)
    assert steps == [1, 2, 3, 4]
    assert all(torch.equal(tensor, before[name]) for name, tensor in start.state_dict().items())
    assert all(torch.equal(tensor, by_hand.state_dict()[name]) for name, tensor in adapted.state_dict().items())
    assert not torch.equal(adapted.state_dict()["generator." + next(iter(start.generator.state_dict()))], next(iter(before.values())))


def test_a_personalised_pair_draws_the_person_better() -> None:
    start, shots = tiny_pair(), draw_clip(1, 2, 32)
    adapted = personalize(start, shots, OBJECTIVE, gm.InnerLoop(steps=40, lr=2e-3))
    errors = [(draw(pair, pose_inputs(pair, shots, shots)) - to_unit(shots.frames)).square().mean().item() for pair in (start, adapted)]
    assert errors[1] < 0.75 * errors[0]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 16])
def test_batches_are_the_whole_cut_into_pieces(batch_size: int) -> None:
    pair, clip = tiny_pair(), draw_clip(2, 7, 32)
    with torch.no_grad():
        whole = pair.generator(joint_heatmaps(clip.joints, 32))
    pieces = list(generate(pair, pose_inputs(pair, clip, clip), batch_size))
    assert [len(piece) for piece in pieces] == [min(batch_size, 7 - first) for first in range(0, 7, batch_size)]
    assert torch.allclose(torch.cat(pieces), whole, atol=1e-5)
    assert not any(piece.requires_grad for piece in pieces)


def test_poses_are_drawn_when_they_are_asked_for() -> None:
    pair, drawn = tiny_pair(), []
    pair.generator.register_forward_pre_hook(lambda _module, inputs: drawn.append(len(inputs[0])))
    clip = draw_clip(2, 5, 32)
    images = generate(pair, pose_inputs(pair, clip, clip), batch_size=2)
    assert drawn == []
    next(images)
    assert drawn == [2]
    assert torch.is_grad_enabled()


def test_a_model_of_another_skeleton_is_refused() -> None:
    with pytest.raises(InputError, match="takes 14 pose channels, but these poses have 18 joints"):
        conditioning_of(tiny_pair(14))


@pytest.mark.parametrize(("room", "made"), [(10**9, 3), (2 * 18 * 32 * 32, 5), (0, 6)])
def test_inputs_are_kept_for_the_next_time_while_there_is_room(room: int, made: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metapix.conditioning.poses.KEPT_VALUES", room)
    clip, memory = draw_clip(2, 5, 32), conditioning_of(tiny_pair()).memory(draw_clip(2, 1, 32))
    calls = []
    inputs = memory.inputs
    monkeypatch.setattr(memory, "inputs", lambda *arguments: (calls.append(arguments[0]), inputs(*arguments))[1])
    poses = Poses(memory, clip.joints, 32)
    first, second = ([tensor for (tensor,) in poses.batches(2)] for _ in range(2))
    assert len(calls) == made
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.cat(first), joint_heatmaps(clip.joints, 32))
