"""Theta's buffers after meta-training: eval() pictures are train() ones, normalised weights stay normalised, counters are taken."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import gan_meta as gm
from gan_meta.training.buffers import fit_spectral_vectors, join, tell
from tests.conftest import SquaresObjective, small_batch, smooth_pair

OUTER = [("sgd", 0.5, "linear"), ("sgd", 1.0, "constant"), ("sgd", 4.0, "constant"), ("adam", 1e-3, "linear"), ("adam", 1e-3, "constant")]
TRAININGS = [*(("reptile", *outer) for outer in OUTER), *((name, *outer) for name in ("fomaml", "maml") for outer in OUTER[2:4])]


def normalised_pair(layer):
    pair = smooth_pair(norm=False)
    pair.generator.insert(1, layer.double())
    return pair


def train(pair, name="reptile", iterations=40, inner=None, tasks=None, **options):
    game = gm.InnerLoop(**{"steps": 4, "lr": 1e-3, "eps": 1e-3, **(inner or {})})
    algorithm = gm.algorithms.create(name, objective=SquaresObjective(), inner=game)
    tasks = tasks or [gm.Task(small_batch(8), small_batch(4, 9))]
    return gm.MetaTrainer(pair, algorithm, tasks, iterations=iterations, **options).fit()


@pytest.mark.parametrize(("name", "meta_optimizer", "meta_lr", "schedule"), TRAININGS)
def test_eval_pictures_are_train_pictures_whatever_the_outer_step(name, meta_optimizer, meta_lr, schedule):
    outer = {"meta_optimizer": meta_optimizer, "meta_lr": meta_lr, "meta_schedule": schedule, "clip_norm": 0.01 if meta_lr > 2 else None}
    pair = train(normalised_pair(nn.BatchNorm2d(4)), name, **outer, iterations=20)
    poses = small_batch(8)["pose"]
    with torch.no_grad():
        hidden = pair.generator[0](poses)
        ours, theirs = copy.deepcopy(pair).train().generator(poses), copy.deepcopy(pair).eval().generator(poses)
    torch.testing.assert_close(pair.generator[1].running_var, hidden.var((0, 2, 3)), rtol=0.1, atol=0)
    assert float((ours - theirs).abs().mean()) < 0.06 * float(ours.std())  # statistics lag a little behind weights that move fast
    assert int(pair.generator[1].num_batches_tracked) % 20 == 0


def test_statistics_are_the_mean_over_the_tasks_and_never_negative():
    pair = normalised_pair(nn.BatchNorm2d(4))
    tasks = gm.FewShotTasks([small_batch(10, seed) for seed in range(3)], shots=5)
    algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=gm.InnerLoop(steps=2, lr=1e-2))
    trainer = gm.MetaTrainer(pair, algorithm, tasks, iterations=1, meta_batch_size=3, meta_lr=7.0, seed=5)
    updates = trainer._batch.play(pair, 0).directions
    expected = torch.stack([update.buffers["generator.1.running_var"] for update in updates]).mean(0)
    trainer.fit()
    torch.testing.assert_close(pair.generator[1].running_var, expected, rtol=1e-14, atol=0)
    assert bool((expected > 0).all())
    for update in updates:  # what the game left, not how far it moved
        assert bool((update.buffers["generator.1.running_var"] > 0).all())


def spectral(old):
    pair = smooth_pair(norm=False)
    for number in (0, 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrap = torch.nn.utils.spectral_norm if old else parametrizations.spectral_norm
            pair.discriminator[number] = wrap(pair.discriminator[number])
    return pair


def largest_singular_values(pair, old):
    """Of what the layers multiply by, in eval mode."""
    values = []
    with torch.no_grad():
        pair.eval()(small_batch(2)["pose"])
        pair.discriminator(torch.cat([small_batch(2)["pose"], small_batch(2)["image"]], 1))
        for number in (0, 2):
            values.append(float(torch.linalg.matrix_norm(pair.discriminator[number].weight.flatten(1), 2)))
    return values


@pytest.mark.parametrize("meta_batch_size", [1, 3])
@pytest.mark.parametrize(("meta_optimizer", "meta_lr"), [("sgd", 1.0), ("sgd", 0.3), ("sgd", 3.0), ("adam", 0.05)])
@pytest.mark.parametrize("name", ["reptile", "fomaml", "maml"])
def test_normalised_weights_stay_normalised(name, meta_optimizer, meta_lr, meta_batch_size):
    pair = spectral(old=False)
    if name == "maml":  # the vectors stay within a game, and must follow theta all the same
        pair.discriminator.eval()
    options = {"meta_optimizer": meta_optimizer, "meta_lr": meta_lr, "meta_batch_size": meta_batch_size, "clip_norm": 1.0}
    tasks = [gm.Task(small_batch(6, seed), small_batch(4, 9)) for seed in range(4)]
    train(pair, name, iterations=6, inner={"lr": 2e-2}, tasks=tasks, **options)
    assert largest_singular_values(pair, old=False) == pytest.approx([1.0, 1.0], abs=1e-2)
    for number in (0, 2):
        norm = pair.discriminator[number].parametrizations.weight[0]
        assert float(norm._u.norm()) == pytest.approx(1.0, abs=1e-9)


def test_the_old_form_of_spectral_normalisation_is_fitted_too():
    pair = spectral(old=True)
    with torch.no_grad():
        for number in (0, 2):
            generator = torch.Generator().manual_seed(number)
            pair.discriminator[number].weight_orig.copy_(
                torch.randn(pair.discriminator[number].weight_orig.shape, generator=generator, dtype=torch.float64) * 5
            )
    assert max(largest_singular_values(pair, old=True)) > 1.3
    fit_spectral_vectors(pair)
    for number in (0, 2):  # without a forward pass, and so that the pair can be copied
        weight = copy.deepcopy(pair).discriminator[number].weight
        assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1.0, abs=1e-2)
    assert largest_singular_values(pair, old=True) == pytest.approx([1.0, 1.0], abs=1e-2)


def test_a_chain_of_parametrisations_and_a_weight_of_zeros():
    torch.manual_seed(0)
    layer = parametrizations.spectral_norm(parametrizations.weight_norm(nn.Linear(5, 7).double()))
    with torch.no_grad():
        layer.parametrizations.weight.original1.mul_(torch.linspace(0.1, 3, 5, dtype=torch.float64))
    fit_spectral_vectors(layer)
    assert float(torch.linalg.matrix_norm(layer.eval().weight.detach(), 2)) == pytest.approx(1.0, abs=1e-2)
    zero = parametrizations.spectral_norm(nn.Linear(5, 7))
    before = zero.parametrizations.weight[0]._u.clone()
    with torch.no_grad():
        zero.parametrizations.weight.original.zero_()
    fit_spectral_vectors(zero)
    assert torch.equal(zero.parametrizations.weight[0]._u, before)


class Scripted(gm.MetaAlgorithm):
    """Leaves given values in the buffers, task by task."""

    def __init__(self, script):
        super().__init__(objective=SquaresObjective(), inner=gm.InnerLoop())
        self.script = iter(script)

    def meta_gradient(self, pair, task, seed=0):
        return gm.MetaGradient({name: torch.zeros_like(p) for name, p in pair.named_parameters()}, {}, next(self.script))


def scripted(start, ends, **options):
    """Theta's buffer after one iteration in which the tasks leave these values."""
    pair = smooth_pair()
    pair.generator.register_buffer("held", start.clone(), persistent=options.pop("persistent", True))
    pair.generator.register_buffer("absent", None)
    algorithm = Scripted([{"generator.held": end} for end in ends])
    gm.MetaTrainer(pair, algorithm, [gm.Task({})], iterations=1, meta_batch_size=len(ends), meta_optimizer="adam", meta_lr=1e-3).fit()
    return pair.generator.held


def unit(*shape, dim=None, seed=0):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return values / (values.norm() if dim is None else values.norm(dim=dim, keepdim=True))


@pytest.mark.parametrize(("shape", "dim"), [((6,), None), ((1, 6), None), ((4, 6), 1), ((4, 6), 0), ((2, 3, 5), 2)])
def test_unit_vectors_stay_unit_vectors(shape, dim):
    held = scripted(unit(*shape, dim=dim), [unit(*shape, dim=dim, seed=seed) for seed in (1, 2, 3)])
    norms = held.norm() if dim is None else held.norm(dim=dim)
    torch.testing.assert_close(norms, torch.ones_like(norms))
    mean = torch.stack([unit(*shape, dim=dim, seed=seed) for seed in (1, 2, 3)]).mean(0)
    torch.testing.assert_close(held, mean / (mean.norm() if dim is None else mean.norm(dim=dim, keepdim=True)))


def test_unit_vectors_that_cancel_leave_thetas_and_others_are_averaged():
    start, other = unit(6), unit(6, seed=1)
    assert torch.equal(scripted(start, [other, -other]), start)
    torch.testing.assert_close(scripted(start, [other, 2 * other]), 1.5 * other)


@pytest.mark.parametrize(
    ("start", "ends", "expected"),
    [
        (torch.tensor(3), [torch.tensor(5), torch.tensor(9)], torch.tensor(9)),
        (torch.tensor([True, False]), [torch.tensor([False, False])], torch.tensor([False, False])),
        (torch.tensor([1 + 1j, 0]), [torch.tensor([3 + 1j, 2]), torch.tensor([1 + 3j, 4])], torch.tensor([2 + 2j, 3])),
        (torch.zeros(0), [torch.zeros(0)], torch.zeros(0)),
        (torch.tensor([0.1, float("-inf"), float("nan")]), [torch.tensor([0.1, float("-inf"), float("nan")])] * 3, None),
        (torch.tensor([0.1, float("-inf")]), [torch.tensor([0.2, float("-inf")])] * 3, torch.tensor([0.2, float("-inf")])),
        (
            torch.ones(2, dtype=torch.bfloat16),
            [torch.full((2,), 3.0, dtype=torch.bfloat16)] * 2,
            torch.full((2,), 3.0, dtype=torch.bfloat16),
        ),
    ],
)
def test_each_kind_of_buffer_has_its_rule(start, ends, expected):
    held = scripted(start, ends)
    torch.testing.assert_close(held, start if expected is None else expected, equal_nan=True)
    assert held.dtype == start.dtype


def test_what_no_game_changed_stays_bit_for_bit():
    start = torch.rand(7)
    for count in (1, 3, 7):
        assert torch.equal(scripted(start, [start.clone() for _ in range(count)], persistent=False), start)


def test_a_game_that_leaves_no_number_in_a_buffer_is_a_bad_task(caplog):
    pair = smooth_pair()
    pair.generator.register_buffer("held", torch.zeros(2))
    ends = [{"generator.held": torch.tensor([float("nan"), 1.0])}, {"generator.held": torch.ones(2)}]
    trainer = gm.MetaTrainer(pair, Scripted(ends), [gm.Task({})], iterations=1, meta_batch_size=2)
    trainer.fit()
    assert trainer.skipped_tasks == 1
    assert "not finite in the buffer 'generator.held'" in caplog.text
    assert pair.generator.held.tolist() == [1, 1]


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(4, momentum=None), nn.InstanceNorm2d(4, affine=True, track_running_stats=True)])
def test_other_layers_with_statistics_follow_the_games(layer):
    pair = train(normalised_pair(layer), meta_optimizer="adam", meta_lr=1e-3, iterations=30)
    poses = small_batch(8)["pose"]
    with torch.no_grad():
        hidden = pair.generator[0](poses)
    within = (2, 3) if isinstance(layer, nn.InstanceNorm2d) else (0, 2, 3)
    true = hidden.var(within)
    torch.testing.assert_close(pair.generator[1].running_var, true.mean(0) if true.ndim == 2 else true, rtol=0.1, atol=0)


def test_ranks_that_share_tasks_join_them_as_one_does():
    """Two ranks' reports, joined by hand as sum_flat and share would."""

    class Both:
        def __init__(self, other):
            self.other = other

        def sum_flat(self, tensors):
            return [a + b for a, b in zip(tensors, self.other, strict=True)]

        def share(self, tensors, source):
            return dict(tensors)

    from gan_meta.distributed import ALONE

    pair = normalised_pair(nn.BatchNorm2d(4))
    pair.generator.register_buffer("axis", unit(5).double())
    algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=gm.InnerLoop(steps=2, lr=1e-2))
    updates = {number: algorithm.meta_gradient(pair, gm.Task(small_batch(6, number))) for number in range(3)}
    for number, update in updates.items():
        update.buffers["generator.axis"] = unit(5, seed=number + 1).double()
    alone = join(pair, updates, [tell(pair, updates)], ALONE)
    first, second = {0: updates[0], 2: updates[2]}, {1: updates[1]}
    others = [updates[1].buffers[name] for name in alone if alone[name].is_floating_point()]
    together = join(pair, first, [tell(pair, first), tell(pair, second)], Both(others))
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-12, atol=1e-12)
