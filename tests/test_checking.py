"""check() tells a sound GAN from deliberately broken ones, in words that name the fault."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gan_meta as gm
from tests.conftest import SharedForwardObjective, SquaresObjective, parameters_of, small_batch, smooth_pair

TASK = gm.Task(small_batch(5), small_batch(3, seed=1))


def verdicts(report):
    return {finding.subject: finding.verdict for finding in report.findings}


def refusal(report, subject):
    return next(finding.text for finding in report.refused if finding.subject == subject)


@pytest.mark.parametrize("objective", [SquaresObjective(), SharedForwardObjective()], ids=["separate", "shared"])
def test_a_sound_pair_passes_and_stays_untouched(objective):
    pair = smooth_pair()
    before, state = parameters_of(pair), torch.get_rng_state()
    report = gm.check(pair, objective, TASK)
    assert report.ok, str(report)
    assert set(verdicts(report).values()) == {"works"}
    assert report.algorithms == {"reptile": True, "fomaml": True, "maml": True}
    assert all(torch.equal(before[name], parameter) for name, parameter in pair.named_parameters())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in pair.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert len(str(report).splitlines()) == len(report.findings)


class Detached(SquaresObjective):
    """The usual recipe: D's loss sees a detached fake."""

    def discriminator_loss(self, pair, batch):
        fake = pair.generator(batch["pose"]).detach()
        on_real = pair.discriminator(torch.cat([batch["pose"], batch["image"]], 1))
        on_fake = pair.discriminator(torch.cat([batch["pose"], fake], 1))
        return (on_real - 1).square().flatten(1).mean(1) + on_fake.square().flatten(1).mean(1)


def test_a_detached_fake_is_refused_with_the_reason():
    report = gm.check(smooth_pair(), Detached(), TASK)
    assert [finding.subject for finding in report.refused] == ["no detach"]
    assert "MAML's direction is wrong without that path" in refusal(report, "no detach")


class WrongShape(SquaresObjective):
    """A map of losses instead of one value a sample."""

    def generator_loss(self, pair, batch):
        return (pair.generator(batch["pose"]) - batch["image"]).square().mean(1)


def test_a_wrong_shape_is_refused_and_ends_the_trial():
    report = gm.check(smooth_pair(), WrongShape(), TASK)
    assert "has shape (4, 8, 8)" in refusal(report, "generator loss")
    assert "must be (4,), one value a sample" in refusal(report, "generator loss")
    assert report.algorithms == {}
    assert not report.ok


class MissingKey(SquaresObjective):
    """Asks for what the batch does not have."""

    def generator_loss(self, pair, batch):
        return pair.generator(batch["noise"]).flatten(1).mean(1)


def test_a_missing_key_is_named_beside_the_keys_there_are():
    report = gm.check(smooth_pair(), MissingKey(), TASK)
    assert refusal(report, "generator loss") == "it cannot be computed: KeyError: 'noise' (the batch has: image, pose)"


OWN_NOISE = np.random.default_rng(0)


class ForeignNoise(SquaresObjective):
    """Noise that the engine cannot seed, nor begin anew."""

    def generator_loss(self, pair, batch):
        noise = torch.as_tensor(OWN_NOISE.normal(size=batch["pose"].shape))
        return (pair.generator(batch["pose"] + noise) - batch["image"]).square().flatten(1).mean(1)


class Mixing(SquaresObjective):
    """Looks like one value a sample, but each holds the batch's mean."""

    def generator_loss(self, pair, batch):
        loss = (pair.generator(batch["pose"]) - batch["image"]).square().flatten(1).mean(1)
        return loss + loss.mean()


class Contradicting(SharedForwardObjective):
    """Two ways to the loss that disagree."""

    def losses(self, pair, batch):
        both = super().losses(pair, batch)
        return gm.Losses(2 * both.generator, both.discriminator)


class Writing(SquaresObjective):
    """Normalises the batch in place."""

    def generator_loss(self, pair, batch):
        batch["image"].mul_(0.5)
        return super().generator_loss(pair, batch)


class Stepping(SquaresObjective):
    """Clips the critic's weights inside the loss, as the first Wasserstein GAN's recipes do."""

    def discriminator_loss(self, pair, batch):
        with torch.no_grad():
            for parameter in pair.discriminator.parameters():
                parameter.clamp_(-0.01, 0.01)
        return super().discriminator_loss(pair, batch)


@pytest.mark.parametrize(
    ("objective", "subject", "words"),
    [
        (ForeignNoise(), "randomness", "draw noise from a global generator"),
        (Contradicting(), "one forward for both", "give different numbers for the generator"),
        (Writing(), "side effects", "writes into the batch (image)"),
        (Stepping(), "side effects", "asking for a loss changes weights (discriminator.0.weight)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, gm.Objective) else None,
)
def test_each_fault_is_named(objective, subject, words):
    assert words in refusal(gm.check(smooth_pair(), objective, TASK), subject)


def test_losses_that_mix_samples_are_played_as_they_are():
    report = gm.check(smooth_pair(), Mixing(), TASK)
    assert report.ok
    (finding,) = [finding for finding in report.findings if finding.subject == "independent samples"]
    assert finding.verdict == "careful"
    assert "changes when the others leave the batch" in finding.text


def test_modules_that_maml_cannot_differentiate_are_refused_for_maml_alone():
    pair = smooth_pair()
    pair.discriminator[0] = nn.utils.parametrizations.spectral_norm(pair.discriminator[0])
    report = gm.check(pair, SquaresObjective(), TASK)
    assert report.algorithms == {"reptile": True, "fomaml": True, "maml": False}
    assert "spectral normalisation" in refusal(report, "maml")


def test_batch_norm_and_scalar_losses_work_with_a_warning():
    class Scalar(SquaresObjective):
        def discriminator_loss(self, pair, batch):
            return super().discriminator_loss(pair, batch).mean()

    pair = smooth_pair()
    pair.generator[1] = nn.BatchNorm2d(4).double()
    report = gm.check(pair, Scalar(), gm.Task(TASK.support))
    assert report.ok
    assert {subject for subject, verdict in verdicts(report).items() if verdict == "careful"} == {
        "discriminator loss",
        "independent samples",
        "query",
    }


def test_unused_weights_and_a_generator_alone():
    pair = gm.GANPair(smooth_pair().generator)
    pair.generator.add_module("idle", nn.Identity())
    pair.generator.register_parameter("never_used", nn.Parameter(torch.zeros(2, dtype=torch.float64)))

    class Pixels(gm.Objective):
        def generator_loss(self, pair, batch):
            return (pair.generator(batch["pose"]) - batch["image"]).square().flatten(1).mean(1)

    report = gm.check(pair, Pixels(), TASK)
    assert report.ok
    careful = [finding.text for finding in report.findings if finding.verdict == "careful"]
    assert careful == ["1 of its weights get no gradient and never move: generator.never_used"]


def test_a_discriminator_that_asks_for_no_gradient_is_allowed_to_stand_still():
    pair = smooth_pair()
    pair.discriminator.requires_grad_(False)
    report = gm.check(pair, SquaresObjective(), TASK)
    assert report.ok, str(report)
    assert "the discriminator never moves" in next(found.text for found in report.findings if found.verdict == "careful")


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="the pair has no weights"):
        gm.check(gm.GANPair(nn.Identity()), SquaresObjective(), TASK)
    with pytest.raises(TypeError, match=r"pair must be a gan_meta\.GANPair, got Conv2d"):
        gm.check(nn.Conv2d(1, 1, 1), SquaresObjective(), TASK)
    with pytest.raises(ValueError, match="support is empty"):
        gm.check(smooth_pair(), SquaresObjective(), gm.Task({"pose": torch.zeros(0, 2, 8, 8)}))


class OwnGenerator(SquaresObjective):
    """Noise from a generator of the class, which belongs to no game."""

    rng = torch.Generator().manual_seed(0)

    def generator_loss(self, pair, batch):
        noise = torch.rand(batch["pose"].shape, generator=self.rng, dtype=torch.float64)
        return (pair.generator(batch["pose"] + noise) - batch["image"]).square().flatten(1).mean(1)


class Counter(SquaresObjective):
    """R1 by a count of its own; or only counting, which no loss shows yet."""

    def __init__(self, period=2):
        self.calls, self.period = 0, period

    def discriminator_loss(self, pair, batch):
        self.calls += 1
        return super().discriminator_loss(pair, batch) * (2 if self.calls % self.period == 0 else 1)


class Remembering(SquaresObjective):
    """A pool that grows."""

    def __init__(self):
        self.pool = []

    def discriminator_loss(self, pair, batch):
        self.pool.append(batch["image"].new_ones(()))
        return super().discriminator_loss(pair, {**batch, "image": batch["image"] + sum(self.pool)})


class Caching(SquaresObjective):
    """Keeps the last fake, to be looked at."""

    last = None

    def generator_loss(self, pair, batch):
        self.last = pair.generator(batch["pose"])
        return super().generator_loss(pair, batch)


@pytest.mark.parametrize("objective", [Counter(), Counter(100), Remembering()], ids=["counter", "long period", "pool"])
def test_a_stateful_objective_is_told_of_the_step(objective):
    name = "calls" if isinstance(objective, Counter) else "pool"
    report = gm.check(smooth_pair(), objective, TASK)
    assert [finding.subject for finding in report.refused] == ["state"]
    assert f"{type(objective).__name__}.{name} changes each time a loss is asked for" in refusal(report, "state")
    assert "asks for the keyword `step`" in refusal(report, "state")
    assert gm.check(smooth_pair(), objective, TASK, "reptile").ok
    assert vars(objective) == vars(type(objective)(*([objective.period] if name == "calls" else [])))


def test_a_module_that_counts_is_named_and_one_that_remembers_its_last_output_is_not():
    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x

    class Iterating(SquaresObjective):
        __slots__ = ("shares",)

        def __init__(self):
            self.shares = iter([0.1] * 1000)

        def generator_loss(self, pair, batch):
            return gm.objective.total(super().generator_loss(pair, batch))[0] * next(self.shares)

    assert "Iterating.shares changes each time" in refusal(gm.check(smooth_pair(), Iterating(), TASK), "state")
    pair = smooth_pair()
    pair.discriminator.append(Counting())
    assert "discriminator.3.calls changes each time" in refusal(gm.check(pair, SquaresObjective(), TASK), "state")
    assert gm.check(smooth_pair(), Caching(), TASK).ok


def test_a_loss_that_asks_for_the_step_passes():
    class Lazy(SquaresObjective):
        def discriminator_loss(self, pair, batch, *, step):
            return super().discriminator_loss(pair, batch) * (2 if step % 2 == 0 else 1)

    assert gm.check(smooth_pair(), Lazy(), TASK).ok


@pytest.mark.parametrize("old", [False, True])
def test_spectral_norm_is_refused_for_maml_alone_and_for_the_right_reason(old):
    pair = smooth_pair()
    norm = nn.utils.spectral_norm if old else nn.utils.parametrizations.spectral_norm
    for number in (0, 2):
        pair.discriminator[number] = norm(pair.discriminator[number])
    report = gm.check(pair, SquaresObjective(), TASK)
    assert [finding.subject for finding in report.refused] == ["maml"]
    assert "call eval() on that module" in refusal(report, "maml")
    for name in ("reptile", "fomaml"):
        named = gm.check(pair, SquaresObjective(), TASK, algorithm=name)
        assert named.ok, str(named)
        assert named.algorithms == {name: True}
    assert not gm.check(pair, SquaresObjective(), TASK, algorithm="maml").ok
    assert gm.check(pair.eval(), SquaresObjective(), TASK, algorithm="maml").ok


def test_with_a_name_only_what_that_algorithm_needs_is_judged():
    without_query = gm.Task(TASK.support)
    report = gm.check(smooth_pair(), Detached(), without_query, algorithm="reptile", inner=gm.InnerLoop(optimizer=torch.optim.RMSprop))
    assert report.ok, str(report)
    assert verdicts(report)["no detach"] == "careful"
    assert "query" not in verdicts(report)
    assert report.algorithms == {"reptile": True}
    for name in ("maml", "anil"):
        assert "MAML's direction is wrong" in refusal(gm.check(smooth_pair(), Detached(), TASK, algorithm=name), "no detach")
    fomaml = gm.check(smooth_pair(), SquaresObjective(), without_query, algorithm="fomaml")
    assert "needs a query" in refusal(fomaml, "fomaml")
    own = gm.check(smooth_pair(), SquaresObjective(), TASK, algorithm="maml", inner=gm.InnerLoop(optimizer=torch.optim.RMSprop))
    assert "cannot go through an optimizer factory" in refusal(own, "maml")
    assert "learned rates" in refusal(
        gm.check(smooth_pair(), SquaresObjective(), TASK, "meta-sgd", inner=gm.InnerLoop(optimizer="sgd")), "meta-sgd"
    )


def test_noise_of_ones_own_is_refused_for_every_algorithm():
    for name in (None, "reptile", "maml"):
        assert "not from a generator of its own" in refusal(gm.check(smooth_pair(), OwnGenerator(), TASK, algorithm=name), "randomness")


def test_an_algorithm_of_ones_own_is_tried_and_an_unknown_one_named():
    @gm.algorithms.register("check-standstill")
    class Standstill(gm.algorithms.MetaAlgorithm):
        def meta_gradient(self, pair, task, seed=0):
            self.play(pair, task.support, seed)
            return gm.MetaGradient({name: torch.zeros_like(weight) for name, weight in pair.named_parameters()})

    try:
        assert gm.check(smooth_pair(), Detached(), TASK, algorithm="check-standstill").algorithms == {"check-standstill": True}
    finally:
        gm.algorithms.registry._ALGORITHMS.pop("check-standstill")
    with pytest.raises(ValueError, match="did you mean 'reptile'"):
        gm.check(smooth_pair(), SquaresObjective(), TASK, algorithm="reptil")
    with pytest.raises(TypeError, match="algorithm must be a name, or None, got InnerLoop"):
        gm.check(smooth_pair(), SquaresObjective(), TASK, gm.InnerLoop())


def test_what_no_game_can_play_is_one_finding():
    lazy = gm.GANPair(nn.Sequential(nn.LazyConv2d(3, 3, padding=1)), smooth_pair().discriminator)
    report = gm.check(lazy, SquaresObjective(), TASK)
    assert "is lazy and has no weights yet" in refusal(report, "copies")
    pair = smooth_pair()
    pair.generator[0].weight.register_hook(lambda gradient: gradient.detach() * 0.5)
    report = gm.check(pair, SquaresObjective(), TASK)
    assert [finding.subject for finding in report.refused] == ["maml"]
    assert "gradient hook of 'generator.0.weight'" in refusal(report, "maml")
