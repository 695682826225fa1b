"""The pool of a game's samples: what it keeps, for how long, and when it keeps nothing."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import gan_meta as gm
from gan_meta.game import pool as pool_module
from gan_meta.game.engine import Game
from gan_meta.game.pool import SamplePool
from gan_meta.game.state import put_back, state_of
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair

CPU = torch.device("cpu")


def negative(batch: gm.Batch) -> gm.Batch:
    return {name: -tensor for name, tensor in batch.items()}


def noisy(batch: gm.Batch) -> gm.Batch:
    return {**batch, "image": batch["image"] + torch.randn_like(batch["image"])}


class HalfTarget(SquaresObjective):
    """Its generator's target is a constant of the real picture, which may be precomputed."""

    def __init__(self) -> None:
        self.calls = 0

    def precompute(self, batch):
        self.calls += 1
        return {"target": batch["image"] * 0.5}

    def generator_loss(self, pair, batch):
        target = batch["target"] if "target" in batch else batch["image"] * 0.5
        return (pair.generator(batch["pose"]) - target).square().flatten(1).mean(1)


def test_pool_addresses_every_item_and_precomputes_once():
    calls = []

    def features(items):
        calls.append(len(items["image"]))
        return {"twice": 2 * items["image"]}

    pool = SamplePool({"image": torch.arange(3.0).reshape(3, 1)}, [negative], CPU, features)
    for _ in range(2):
        taken = pool.take(torch.tensor([4, 0, 2, 5, 4]))
    assert taken["image"].flatten().tolist() == [-1, 0, 2, -2, -1]
    assert taken["twice"].flatten().tolist() == [-2, 0, 4, -4, -2]
    assert calls == [1] * 6


def test_large_pools_are_made_on_demand():
    pool = SamplePool({"image": torch.arange(100.0).reshape(100, 1)}, [negative], CPU, lambda items: {})
    assert pool.kept is None
    assert pool.take(torch.tensor([199, 3, 103]))["image"].flatten().tolist() == [-99, 3, -3]


def test_precomputed_keys_must_be_new():
    with pytest.raises(ValueError, match=r"keys that the batch has already: image"):
        SamplePool({"image": torch.ones(2, 1)}, [], CPU, lambda items: {"image": items["image"]})


@pytest.mark.parametrize("change", ["in place", "replaced"])
def test_a_frame_changed_within_a_game_is_followed_at_once(change):
    """From there on it is bit for bit the game that another one, begun on the changed frames, plays on from the same state."""
    inner = gm.InnerLoop(steps=5, lr=1e-2, batch_size=8, augment=(negative,))
    frames = small_batch(4)
    game = Game(smooth_pair(), HalfTarget(), frames, inner)
    for _ in range(2):
        game.step()
    if change == "in place":
        frames["image"][1].mul_(-1)
    else:
        frames["image"] = frames["image"].clone()
        frames["image"][1].mul_(-1)
    other = Game(smooth_pair(), HalfTarget(), {name: tensor.clone() for name, tensor in frames.items()}, inner)
    put_back(other, state_of(game), 2)
    for _ in range(3):
        assert_close(game.step(), other.step(), rtol=0, atol=0)
    assert_close(parameters_of(game.pair), parameters_of(other.pair), rtol=0, atol=0)


def test_an_unchanged_game_asks_once_an_item():
    objective = HalfTarget()
    gm.adapt(smooth_pair(), objective, small_batch(3), gm.InnerLoop(steps=4))
    assert objective.calls == 3


def test_features_that_exceed_the_limit_are_not_kept_and_change_nothing(monkeypatch):
    objective, inner, frames = HalfTarget(), gm.InnerLoop(steps=3, lr=1e-2), small_batch(3)
    kept = gm.adapt(smooth_pair(), objective, frames, inner)
    monkeypatch.setattr(pool_module, "FEATURE_BYTES", 3 * frames["image"][0].nbytes - 1)
    assert "target" not in (SamplePool(frames, [], CPU, objective.precompute).kept or {})
    objective.calls = 0
    assert_close(parameters_of(gm.adapt(smooth_pair(), objective, frames, inner)), parameters_of(kept), rtol=0, atol=0)
    assert objective.calls == 1  # and gave up


def test_a_random_transform_is_drawn_anew_in_every_step():
    """Neither frames nor features are kept then, repeats are played as repeats, and the same seed draws the same."""
    frames, objective = small_batch(2), HalfTarget()
    before = torch.get_rng_state()
    pool = SamplePool(frames, [noisy], CPU, objective.precompute)
    assert torch.equal(before, torch.get_rng_state())
    assert pool.kept is None
    assert pool.is_random
    first, second = (pool.take(torch.tensor([2]))["image"] for _ in range(2))
    assert float((first - second).abs().max()) > 0.1
    inner = gm.InnerLoop(steps=3, lr=1e-2, batch_size=8, augment=(noisy,))
    sizes = []
    pair = smooth_pair()
    pair.generator.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    once = gm.adapt(pair, objective, frames, inner, seed=3)
    assert set(sizes) == {8}
    assert_close(parameters_of(gm.adapt(pair, objective, frames, inner, seed=3)), parameters_of(once), rtol=0, atol=0)


def test_tensors_whose_writes_torch_does_not_count_are_not_kept():
    with torch.inference_mode():
        frames = {"image": torch.arange(3.0).reshape(3, 1)}
    pool = SamplePool(frames, [], CPU, lambda items: {})
    assert pool.kept is None
    with torch.inference_mode():
        frames["image"][0] = 5
    assert pool.take(torch.tensor([0]))["image"].tolist() == [[5]]
