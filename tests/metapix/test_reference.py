"""References come from the allowed frames alone, and an untrained network changes nothing."""

from __future__ import annotations

import pytest
import torch
from metapix.choice import choose
from metapix.data.clip import Clip
from metapix.data.drawn import draw_clip
from metapix.personalize import draw, draw_inputs, personalize, pose_inputs
from metapix.puppet.puppet import Puppet
from metapix.reference import REFERENCE_CHANNELS, Reference, build_reference_pair, reference_of, shot_samples

import gan_meta as gm
from gan_meta.models.pix2pixhd import Pix2PixHDObjective

OBJECTIVE = Pix2PixHDObjective(pixel=10.0)
SMALL = {"base_channels": 4, "n_downsample": 1, "n_blocks": 1}


def start(reference: str = "puppet", **options: int) -> gm.GANPair:
    torch.manual_seed(0)
    return gm.models.create("metapix-reference", reference=reference, **{**SMALL, **options})


def person() -> Clip:
    return draw_clip(5, 8, 32, fps=4)


@pytest.mark.parametrize("kind", ["plate", "puppet"])
def test_an_untrained_network_gives_the_reference_itself(kind: str) -> None:
    clip = person()
    rest, pair = clip.select([5, 6]), start(kind)
    image = draw(pair, pose_inputs(pair, clip.select([0, 1, 2, 3]), rest))
    puppet = Puppet(clip.select([0, 1, 2, 3])).render(rest.joints, rest.boxes)
    torch.testing.assert_close(image, puppet.image if kind == "puppet" else puppet.plate, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", list(REFERENCE_CHANNELS))
def test_channels_are_as_many_as_said_and_in_range(kind: str) -> None:
    clip = person()
    channels = Reference(kind, clip.select([0, 1])).channels(clip.joints, clip.boxes, clip.size)
    assert channels.shape == (8, REFERENCE_CHANNELS[kind], 32, 32)
    assert bool(torch.isfinite(channels).all())
    assert channels.numel() == 0 or float(channels.abs().max()) <= 1 + 1e-5


def test_a_frame_is_never_in_its_own_reference() -> None:
    clip = person().select([0, 2, 4])
    samples = shot_samples(clip, "puppet")
    assert len(samples["image"]) == 3 + 3 * 2
    # Frame 1 turned to noise changes the references of the others, and the target it is itself, but not its own references.
    noisy = Clip(clip.name, clip.frames.clone(), clip.joints, clip.fps, clip.masks)
    noisy.frames[1] = torch.randint(0, 256, (3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    changed = shot_samples(noisy, "puppet")
    own = slice(3, 6)  # three samples a frame: from both others, from each alone
    assert torch.equal(samples["pose"][own], changed["pose"][own])
    assert not torch.equal(samples["pose"][:3], changed["pose"][:3])
    assert not torch.equal(samples["image"][own], changed["image"][own])


def test_one_frame_teaches_nothing_and_leaves_the_start_as_it_is() -> None:
    pair = start()
    adapted = personalize(pair, person().select([0]), OBJECTIVE, gm.InnerLoop(steps=3, lr=1e-2))
    assert all(torch.equal(a, b) for a, b in zip(pair.parameters(), adapted.parameters(), strict=True))


def test_learning_moves_the_picture_only_near_the_person() -> None:
    clip = person()
    shots = clip.select([0, 1, 2, 3])
    adapted = personalize(start(), shots, OBJECTIVE, gm.InnerLoop(steps=5, lr=1e-2))
    rest = clip.select([6])
    change = (draw(adapted, pose_inputs(adapted, shots, rest)) - Puppet(shots).render(rest.joints).image).abs().amax(dim=1)
    alpha = Puppet(shots).render(rest.joints).alpha[:, 0]
    near = torch.nn.functional.max_pool2d(alpha, 5, stride=1, padding=2) > 0
    assert float(change[near].max()) > 1e-3
    assert float(change[~near].max()) == 0


def test_an_unknown_reference_is_refused_in_words() -> None:
    clip = person()
    with pytest.raises(ValueError, match="unknown reference 'pupet': did you mean 'puppet'"):
        Reference("pupet", clip)
    assert reference_of(gm.GANPair(torch.nn.Conv2d(18, 3, 1))) == "none"


def test_shares_move_what_is_there_and_nothing_else() -> None:
    pair = start()
    generator = pair.generator
    # The network's last layer says the same everywhere: "take all of the pixel to the right and nothing of yourself".
    last = [module for module in generator.network.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    right = 4 + 4  # gate, colour, then the neighbours row by row: three above, left, right, three below
    with torch.no_grad():
        last.bias[right] = 20.0
    clip = person()
    ((pose,),) = pose_inputs(pair, clip.select([0, 1, 2, 3]), clip.select([5])).batches(1)
    pose[:, 21] = 1.0  # the person is everywhere, so that all pixels may change
    pose[:, 18:21] = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    image = draw_inputs(pair, (pose,))
    torch.testing.assert_close(image[..., :-1], pose[:, 18:21, :, 1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(image[..., -1], pose[:, 18:21, :, -1], rtol=0, atol=1e-5)  # the border is repeated


def test_a_discriminator_sees_the_reference_too() -> None:
    pair = build_reference_pair("plate", **SMALL, discriminator_channels=4, n_layers=1, n_scales=1)
    objective = Pix2PixHDObjective(pixel=1.0)
    adapted = personalize_pair(pair, objective)
    assert not torch.equal(next(pair.discriminator.parameters()), next(adapted.discriminator.parameters()))


def personalize_pair(pair: gm.GANPair, objective: gm.Objective) -> gm.GANPair:
    pair.model_arguments = {"reference": "plate"}
    return personalize(pair, person().select([0, 1, 2]), objective, gm.InnerLoop(steps=1, lr=1e-3))


def test_leaving_one_out_recommends_what_helps_and_nothing_that_hurts() -> None:
    shots = person().select([0, 2, 4, 6])
    helpful = choose(start(), shots, OBJECTIVE, gm.InnerLoop(steps=10, lr=1e-3, schedule="constant"))
    assert list(helpful.gains) == [0, 5, 10]
    assert helpful.gains[0] == 0
    harmful = choose(start(), shots, OBJECTIVE, gm.InnerLoop(steps=10, lr=0.3, schedule="constant"))
    assert harmful.steps == 0
    assert harmful.gains[10] < 0
    with pytest.raises(ValueError, match='schedule="constant"'):
        choose(start(), shots, OBJECTIVE, gm.InnerLoop(steps=10))


def test_choosing_looks_at_no_other_frame() -> None:
    clip = person()
    inner = gm.InnerLoop(steps=5, lr=1e-3, schedule="constant")
    one = choose(start(), clip.select([0, 2, 4]), OBJECTIVE, inner)
    other = Clip(clip.name, clip.frames.clone(), clip.joints, clip.fps, clip.masks)
    other.frames[[1, 3, 5, 6, 7]] = 0
    assert choose(start(), other.select([0, 2, 4]), OBJECTIVE, inner) == one


def test_a_start_round_trips_through_its_file(tmp_path) -> None:
    gm.save_pair(start(), tmp_path / "s.safetensors")
    loaded = gm.load_pair(tmp_path / "s.safetensors")
    assert reference_of(loaded) == "puppet"
    assert all(torch.equal(a, b) for a, b in zip(start().parameters(), loaded.parameters(), strict=True))
