"""Choosing steps and strength by leaving frames out: what helps is kept, what harms is not, and nothing else is looked at."""

from __future__ import annotations

import pytest
import torch
from metapix.choice import STRENGTHS, choose
from metapix.data.clip import Clip
from metapix.data.drawn import draw_clip
from metapix.personalize import draw, pose_inputs
from metapix.reference import trusted

import gan_meta as gm
from gan_meta.models.pix2pixhd import Pix2PixHDObjective

OBJECTIVE = Pix2PixHDObjective(pixel=10.0)


def start(reference: str = "puppet", noise: float = 0.0) -> gm.GANPair:
    torch.manual_seed(0)
    pair = gm.models.create("metapix-reference", reference=reference, base_channels=4, n_downsample=1, n_blocks=1)
    if noise:
        with torch.no_grad():
            for parameter in pair.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=noise)
    return pair


def shots(count: int = 5) -> Clip:
    return draw_clip(5, count, 32, fps=4)


@pytest.mark.parametrize("kind", ["plate", "puppet"])
def test_strength_is_the_straight_line_from_the_reference_to_the_network(kind: str) -> None:
    clip, pair = shots(), start(kind, noise=0.05)
    poses = pose_inputs(pair, clip.select([0, 1, 2]), clip.select([3, 4]))
    floor, full = poses.base(), draw(pair, poses)
    assert floor is not None
    assert float((full - floor).abs().max()) > 0.01
    for strength in (0.0, 0.25, 0.5):
        torch.testing.assert_close(draw(trusted(pair.clone(), strength), poses), floor + strength * (full - floor), rtol=0, atol=1e-5)


def test_what_harms_is_not_taken_whatever_the_start() -> None:
    found = choose(start(noise=0.2), shots(), OBJECTIVE, gm.InnerLoop(steps=5, lr=0.3, schedule="constant"))
    assert (found.steps, found.strength) == (0, 0.0)
    assert set(found.gains) == {0, 5}
    assert max(found.gains.values()) < 0.05


def test_what_helps_is_taken() -> None:
    # A plate alone has no person on it at all: anything learned about the person helps.
    found = choose(start("plate"), shots(), OBJECTIVE, gm.InnerLoop(steps=10, lr=3e-3, schedule="constant"), person_weight=3.0)
    assert found.steps > 0
    assert found.strength in STRENGTHS
    assert found.gains[found.steps] == max(found.gains.values()) > 0
    assert found.gains[0] == pytest.approx(0, abs=0.02)  # untrained, the network is the plate; scores are taken on 8 bits


def test_more_frames_than_groups_are_left_out_together() -> None:
    found = choose(start(), shots(7), OBJECTIVE, gm.InnerLoop(steps=2, lr=1e-4, schedule="constant"), every=2)
    assert set(found.gains) == {0, 2}


def test_a_pair_without_a_reference_keeps_its_full_strength() -> None:
    torch.manual_seed(0)
    pair = gm.models.create("pix2pixhd", pose_channels=18, base_channels=4, n_downsample=1, n_blocks=1)
    found = choose(gm.GANPair(pair.generator), shots(3), OBJECTIVE, gm.InnerLoop(steps=10, lr=2e-3, schedule="constant"))
    assert found.strength == 1.0
    assert found.steps in (0, 5, 10)


def test_too_few_frames_teach_nothing() -> None:
    inner = gm.InnerLoop(steps=5, schedule="constant")
    assert choose(start(), shots(2), OBJECTIVE, inner).strength == 0.0
