"""What a start with a reference learns from: other frames than the target's own, colours of its own, the same for the same seed."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from metapix import reference_tasks
from metapix.data.clip import Clip
from metapix.data.drawn import draw_clip
from metapix.reference import REFERENCE_CHANNELS, Reference, shot_samples
from metapix.reference_tasks import ReferenceSamples, ReferenceTasks, moved, recoloured
from metapix.tasks import with_pose


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [draw_clip(seed, 7, 32, fps=4) for seed in (1, 2)]


@pytest.mark.parametrize("kind", ["plate", "puppet"])
def test_samples_are_counted_shaped_and_repeatable(clips: list[Clip], kind: str) -> None:
    samples = ReferenceSamples(clips, kind, rounds=[1, 3], targets=2, person_weight=3.0)
    assert 4 <= len(samples) <= 8  # four rounds of at most two targets; at least one frame is left in each
    batch = samples.batch([0, len(samples) - 1, 0])
    assert batch["pose"].shape == (3, 18 + REFERENCE_CHANNELS[kind], 32, 32)
    assert set(batch["weight"].unique().tolist()) == {1.0, 4.0}
    again = ReferenceSamples(clips, kind, rounds=[1, 3], targets=2, person_weight=3.0).batch([0, len(samples) - 1, 0])
    assert all(torch.equal(tensor, again[name]) for name, tensor in batch.items())
    assert torch.equal(batch["pose"][0], batch["pose"][2])


def test_a_sample_is_never_among_the_frames_of_its_reference(clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[tuple[Clip, torch.Tensor]] = []

    class Recorded(Reference):
        def channels(self, joints: torch.Tensor, boxes: torch.Tensor | None, size: int) -> torch.Tensor:
            rounds.append((self._shots, joints))
            return super().channels(joints, boxes, size)

    monkeypatch.setattr(reference_tasks, "Reference", Recorded)
    ReferenceSamples(clips, "plate", rounds=10, targets=6)
    assert len(rounds) == 20
    assert {len(shots) for shots, _ in rounds} >= {2, 6}  # no more than leave a frame of the seven to be drawn
    for shots, joints in rounds:
        assert (shots.joints[:, None] != joints).flatten(2).any(dim=2).all()


def test_of_a_real_clip_only_the_person_and_a_margin_count(clips: list[Clip]) -> None:
    drawn = clips[0]
    masks = torch.zeros_like(drawn.masks)
    masks[:, :, 10:20, 12:18] = 255
    real = dataclasses.replace(drawn, masks=masks, kind="real")
    samples = ReferenceSamples([real], "plate", rounds=4, targets=3, seed=1)
    weight = samples.batch(range(len(samples)))["weight"]
    # Turned, moved and enlarged at random: 14 x 10 pixels with the margin of 2, at 0.8 to 1.2 times the size.
    area = weight.flatten(1).sum(dim=1)
    assert bool((area > 0.6 * 140).all())
    assert bool((area < 2.0 * 140).all())
    assert set(weight.unique().tolist()) == {0.0, 1.0}
    whole = ReferenceSamples([drawn], "plate", rounds=1, targets=3).batch([0])["weight"]
    assert bool((whole == 1).all())


def test_colours_turn_about_grey_and_shapes_stay(clips: list[Clip]) -> None:
    clip = clips[0]
    generator = torch.Generator().manual_seed(0)
    grey = Clip("grey", torch.full((2, 3, 16, 16), 128, dtype=torch.uint8), clip.joints[:2], clip.fps)
    for _ in range(20):
        turned = recoloured(grey, generator).frames.float() / 127.5 - 1
        assert float(turned.abs().max()) < 0.22  # grey stays within the tint
    other = recoloured(clip, generator)
    assert torch.equal(other.joints, clip.joints)
    assert other.masks is clip.masks
    assert not torch.equal(other.frames, clip.frames)


def test_moving_takes_picture_mask_and_joints_along() -> None:
    # One white pixel-sized blob a frame, which is the joint: after the move the blob is where the joint says.
    place = torch.tensor([40.0, 22.0])
    grid = torch.stack(torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy"), dim=-1)
    blob = torch.exp(-((grid - place).square().sum(-1)) / (2 * 2.0**2))
    frames = (blob * 255).to(torch.uint8).expand(2, 3, -1, -1).contiguous()
    joints = torch.cat([place, torch.ones(1)]).expand(2, 18, 3).contiguous()
    clip = Clip("blob", frames, joints, masks=frames[:, :1].clone(), boxes=torch.tensor([[5.0, 5.0, 64.0]]).expand(2, 3).contiguous())
    seen = set()
    for seed in range(8):
        turned = moved(clip, torch.Generator().manual_seed(seed))
        assert turned.boxes is None
        assert torch.equal(turned.joints[..., 2], joints[..., 2])
        for weight in (turned.frames[1, 0].float(), turned.masks[1, 0].float()):
            centre = (grid * weight.unsqueeze(-1)).sum((0, 1)) / weight.sum()
            torch.testing.assert_close(centre, turned.joints[1, 0, :2], rtol=0, atol=0.1)
        seen.add(tuple(turned.joints[0, 0].tolist()))
    assert len(seen) == 8
    following = Clip("follow", frames, joints, boxes=torch.tensor([[0.0, 0.0, 64.0], [3.0, 0.0, 64.0]]))
    assert moved(following, torch.Generator().manual_seed(0)) is following


def test_a_task_has_the_personalisations_support_and_a_query_seen_from_the_k_frames(clips: list[Clip]) -> None:
    tasks = ReferenceTasks(clips, "puppet", shots=3, queries=2)
    task = tasks.sample(5)
    assert task.query is not None
    assert len(task.support["image"]) == 3 + 3 * 2
    assert task.query["pose"].shape == (2, 25, 32, 32)
    clip = next(clip for clip in clips if clip.name == task.name)
    wanted = ((task.query["image"] + 1) * 127.5).round().to(torch.uint8)
    places = [next(i for i in range(len(clip)) if torch.equal(clip.frames[i], image)) for image in wanted]
    support = ((task.support["image"] + 1) * 127.5).round().to(torch.uint8)
    shots = list(dict.fromkeys(next(i for i in range(len(clip)) if torch.equal(clip.frames[i], image)) for image in support))
    assert not set(places) & set(shots)
    chosen, rest = clip.select(shots), clip.select(places)
    expected = with_pose(rest, Reference("puppet", chosen).channels(rest.joints, rest.boxes, 32))
    torch.testing.assert_close(task.query["pose"], expected["pose"])
    torch.testing.assert_close(task.support["pose"], shot_samples(chosen, "puppet")["pose"])


def test_refusals(clips: list[Clip]) -> None:
    with pytest.raises(ValueError, match="all of one size"):
        ReferenceSamples([*clips, draw_clip(3, 7, 16)], "puppet")
    with pytest.raises(ValueError, match="has 2 frames; with a reference it takes at least 3"):
        ReferenceSamples([clips[0].select([0, 1])], "plate")
    with pytest.raises(ValueError, match=r"fewer than shots \+ queries = 8"):
        ReferenceTasks(clips, "puppet", shots=5, queries=3)
