"""No state leads from game to game, whatever form it is kept in, and nothing that a module does is lost in a game's copy."""

from __future__ import annotations

import collections
import dataclasses
import functools
import random
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.testing import assert_close

import gan_meta as gm
from gan_meta.contents import is_same
from gan_meta.game.copies import copy_both
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair

INNER = gm.InnerLoop(steps=3, lr=1e-2, eps=1e-2)
SGD = gm.InnerLoop(steps=3, optimizer="sgd", lr=0.05, schedule="constant")
TASK, OTHER = (gm.Task({**small_batch(5, seed), "image": small_batch(5, seed)["image"] + seed}, small_batch(3, 9)) for seed in (0, 3))


@dataclasses.dataclass
class Memory:
    """A plain object that remembers."""

    mean: torch.Tensor = dataclasses.field(default_factory=lambda: torch.zeros((), dtype=torch.float64))


KEEPERS = {
    "list": (list, lambda kept, x: kept.append(x.mean())),
    "dict": (dict, lambda kept, x: kept.update({len(kept): x.mean()})),
    "deque": (lambda: collections.deque(maxlen=2), lambda kept, x: kept.append(x.mean())),
    "object": (Memory, lambda kept, x: setattr(kept, "mean", 0.5 * kept.mean + x.mean())),
    "namespace in a tuple": (lambda: (SimpleNamespace(all=[]),), lambda kept, x: kept[0].all.append(x.mean())),
    "tensor in place": (lambda: torch.zeros((), dtype=torch.float64), lambda kept, x: kept.mul_(0.5).add_(x.mean())),
    "array": (lambda: np.zeros(1), lambda kept, x: np.add(kept, float(x.mean()), out=kept)),
    "torch's generator": (lambda: torch.Generator().manual_seed(1), lambda kept, x: torch.rand(1, generator=kept)),
    "numpy's generator": (lambda: np.random.default_rng(1), lambda kept, x: kept.normal()),
    "Python's generator": (lambda: random.Random(1), lambda kept, x: kept.random()),
}


def amount(kept):
    """A number that depends on what has been kept."""
    if isinstance(kept, torch.Generator):
        return float(torch.rand(1, generator=torch.Generator().manual_seed(int(kept.get_state().sum()))))
    if isinstance(kept, np.random.Generator):
        return kept.bit_generator.state["state"]["state"] % 97 / 97
    if isinstance(kept, random.Random):
        return sum(kept.getstate()[1]) % 97 / 97
    if isinstance(kept, tuple):
        return amount(kept[0].all)
    if isinstance(kept, Memory):
        return kept.mean
    if isinstance(kept, (torch.Tensor, np.ndarray)):
        return torch.as_tensor(kept).sum().clone()
    return sum(kept.values() if isinstance(kept, dict) else kept, 0.0)


class Keeping(nn.Module):
    """A discriminator's layer that keeps something of what it has seen, and lets it speak."""

    def __init__(self, kind):
        super().__init__()
        make, self.note = KEEPERS[kind]
        self.kept = make()

    def forward(self, x):
        out = x * (1 + 0.1 * amount(self.kept))
        self.note(self.kept, x.detach())
        return out


class KeepingObjective(SquaresObjective):
    """An objective that does."""

    def __init__(self, kind):
        self.layer = Keeping(kind)

    def discriminator_loss(self, pair, batch):
        return super().discriminator_loss(pair, {**batch, "image": self.layer(batch["image"])})


class SharingKeeping(Keeping):
    """The same, kept by the class for all its objects."""

    def __init__(self, kind):
        super().__init__(kind)
        type(self).kept = self.__dict__.pop("kept")


def keeping(kind, where):
    if where == "class":
        pair, layer = smooth_pair(), type("OneOfAKind", (SharingKeeping,), {})(kind)
        pair.discriminator.insert(0, layer)
        return pair, SquaresObjective()
    pair = smooth_pair()
    if where == "module":
        pair.discriminator.insert(0, Keeping(kind))
    return pair, SquaresObjective() if where == "module" else KeepingObjective(kind)


@pytest.mark.parametrize("where", ["module", "objective", "class"])
@pytest.mark.parametrize("kind", KEEPERS)
def test_a_game_does_not_know_of_the_games_before(kind, where):
    pair, objective = keeping(kind, where)
    for name in ("reptile", "fomaml"):
        algorithm = gm.algorithms.create(name, objective=objective, inner=INNER)
        first = algorithm.meta_gradient(pair, TASK, seed=3).grads
        algorithm.meta_gradient(pair, OTHER, seed=4)
        assert_close(algorithm.meta_gradient(pair, TASK, seed=3).grads, first, rtol=0, atol=0)
    phi = parameters_of(gm.adapt(pair, objective, TASK.support, INNER))
    fresh, fresh_objective = keeping(kind, where)
    assert_close(parameters_of(gm.adapt(fresh, fresh_objective, TASK.support, INNER)), phi, rtol=0, atol=0)
    assert_close(parameters_of(gm.adapt(pair, objective, TASK.support, INNER)), phi, rtol=0, atol=0)


@pytest.mark.parametrize("where", ["module", "objective", "class"])
@pytest.mark.parametrize("kind", KEEPERS)
def test_mamls_engines_agree_on_what_is_kept(kind, where):
    pair, objective = keeping(kind, where)
    unrolled, sweep = (
        gm.algorithms.create("maml", objective=objective, inner=INNER, memory=memory).meta_gradient(pair, TASK)
        for memory in ("unrolled", "sweep")
    )
    assert_close(unrolled.grads, sweep.grads, rtol=1e-9, atol=1e-12)
    assert unrolled.logs == pytest.approx(sweep.logs, rel=1e-12)


@pytest.mark.parametrize("persistent", [True, False])
def test_a_buffer_that_is_replaced_moves_along_in_every_engine(persistent):
    class Average(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros((), dtype=torch.float64), persistent=persistent)

        def forward(self, x):
            self.mean = 0.5 * self.mean + x.mean()  # with its graph: no gradient goes through a buffer all the same
            return x * (1 + self.mean.detach())

    pair = smooth_pair()
    pair.discriminator.insert(0, Average())
    create = functools.partial(gm.algorithms.create, objective=SquaresObjective(), inner=SGD)
    unrolled, sweep = (create("maml", memory=memory).meta_gradient(pair, TASK) for memory in ("unrolled", "sweep"))
    assert_close(unrolled.grads, sweep.grads, rtol=1e-9, atol=1e-12)
    played = gm.adapt(pair, SquaresObjective(), TASK.support, SGD)
    assert float(played.discriminator[0].mean.detach()) != 0
    assert pair.discriminator[0].mean == 0
    algorithm = create("reptile")
    first = algorithm.meta_gradient(pair, TASK)
    algorithm.meta_gradient(pair, OTHER)
    again = algorithm.meta_gradient(pair, TASK)
    assert_close((first.grads, first.buffers), (again.grads, again.buffers), rtol=0, atol=0)


def test_what_is_kept_of_a_batch_sees_its_repeats():
    phi = [
        parameters_of(gm.adapt(*keeping("list", "module"), small_batch(3), dataclasses.replace(INNER, unique_samples=unique)))
        for unique in (True, False)
    ]
    assert_close(phi[0], phi[1], rtol=0, atol=0)


def test_a_game_leaves_what_it_kept_to_be_looked_at():
    pair, objective = keeping("list", "objective")
    gm.adapt(pair, objective, TASK.support, INNER)
    assert len(objective.layer.kept) == 3
    gm.adapt(pair, objective, OTHER.support, INNER)
    assert len(objective.layer.kept) == 3
    objective.layer.kept.clear()
    objective.note = "from here on"
    gm.adapt(pair, objective, OTHER.support, INNER)
    assert objective.note == "from here on"


def test_what_cannot_be_copied_is_shared_if_it_is_no_state_and_named_if_it_is():
    pair, objective = smooth_pair(), SquaresObjective()
    objective.lock = pair.generator.lock = threading.Lock()
    gm.adapt(pair, objective, TASK.support, INNER)
    objective.noise = (torch.rand(3) for _ in range(100))
    with pytest.raises(TypeError, match=r"SquaresObjective\.noise is an iterator that cannot be copied.*by the game's step"):
        gm.adapt(pair, objective, TASK.support, INNER)


def test_flat_containers_are_copied_whole():
    objective = SquaresObjective()
    objective.ranks = {("a", "b"): 1, "c": (2, (3.0, None))}
    objective.pools = ([1, 2], [float("nan")])
    copied = copy_both(smooth_pair(), objective).objective
    assert copied.ranks == objective.ranks
    assert copied.ranks is not objective.ranks
    assert is_same(vars(copied), vars(objective))
    copied.pools[0].append(3)
    assert objective.pools[0] == [1, 2]
    assert not is_same(vars(copied), vars(objective))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_networks_of_torch_jit_are_shared_by_objectives_and_refused_as_players():
    class Judged(SquaresObjective):
        def __init__(self, network):
            self.network = network

        def generator_loss(self, pair, batch):
            return self.network(pair.generator(batch["pose"])).square().flatten(1).mean(1)

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).double().eval()
    scripted = torch.jit.trace(network, small_batch(2)["image"])
    phi = [parameters_of(gm.adapt(smooth_pair(), Judged(judge), TASK.support, INNER)) for judge in (network, scripted)]
    assert_close(phi[0], phi[1], rtol=0, atol=1e-12)
    with pytest.raises(TypeError, match=r"made by torch\.jit \(Sequential\) cannot be copied for a game"):
        gm.adapt(gm.GANPair(scripted), SquaresObjective(), TASK.support, INNER)


def test_large_tensors_of_an_objective_are_shared_and_must_not_be_written_to():
    class Large(SquaresObjective):
        def __init__(self, writes):
            self.network, self.writes = nn.Linear(512, 600).requires_grad_(False), writes

        def generator_loss(self, pair, batch):
            if self.writes:
                self.network.weight.mul_(0.9)
            return super().generator_loss(pair, batch)

    objective = Large(False)
    copied = copy_both(smooth_pair(), objective).objective
    assert copied.network is not objective.network
    assert copied.network.weight is objective.network.weight
    assert copied.network.bias is not objective.network.bias
    with pytest.raises(ValueError, match=r"Large\.network was written to by the game"):
        gm.adapt(smooth_pair(), Large(True), TASK.support, INNER)


# -- what copies lost ------------------------------------------------------------------------------------------------------------


def in_place_game(change, inner=SGD):
    """The same game on the pair itself, with nothing copied."""
    pair = smooth_pair()
    change(pair)
    gm.pretrain(pair, SquaresObjective(), small_batch(5), steps=inner.steps, inner=inner)
    return parameters_of(pair)


def mask_of(weight):
    mask = torch.zeros_like(weight)
    mask[0] = 1
    return mask


def masked(pair):
    weight = pair.generator[-2].weight
    mask = mask_of(weight)
    weight.register_hook(lambda gradient: gradient * mask)


def halved_twice(pair):
    weight = pair.discriminator[0].weight
    weight.register_hook(lambda gradient: gradient / 2)
    weight.register_hook(functools.partial(torch.mul, torch.tensor(0.5, dtype=weight.dtype)))


def clipped(pair):
    pair.generator[0].weight.register_hook(lambda gradient: gradient / gradient.norm().clamp(min=1))


def zeroed(pair):
    pair.generator[0].weight.register_hook(torch.zeros_like)


def closure_hook(pair):
    first, last = pair.generator[0], pair.generator[-2]
    last.register_forward_hook(lambda _module, _inputs, out: out + first.weight.mean())


def default_hook(pair):
    def add(_module, _inputs, out, other=pair.generator[0]):
        return out + other.bias.mean()

    pair.generator[-2].register_forward_hook(add)


def pre_hook_of_a_method(pair):
    class Scaler:
        def __init__(self, module):
            self.module = module

        def scale(self, _module, inputs):
            return (inputs[0] * (1 + self.module.weight.mean()),)

    pair.discriminator[-1].register_forward_pre_hook(Scaler(pair.discriminator[0]).scale)


def replaced_forward(pair):
    module = pair.generator[0]
    inner = module.forward
    module.forward = lambda x: 2 * inner(x)


def weak_parent(pair):
    class Child(nn.Module):
        def __init__(self, parent):
            super().__init__()
            self.parent = weakref.ref(parent)

        def forward(self, x):
            return x * (1 + self.parent()[0].weight.mean())

    pair.generator.append(Child(pair.generator))


def old_weight_norm(pair):
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(pair.discriminator[0])


def old_spectral_norm(pair):
    pair.discriminator[0] = nn.utils.spectral_norm(pair.discriminator[0])


def new_weight_norm(pair):
    parametrizations.weight_norm(pair.discriminator[0])


def orthogonal(pair):
    parametrizations.orthogonal(pair.generator[0])


def pruned(pair):
    prune.l1_unstructured(pair.generator[0], "weight", amount=0.5)
    prune.random_unstructured(pair.generator[0], "weight", amount=0.5)


def tied(pair):
    pair.generator.insert(2, nn.Conv2d(4, 4, 3, padding=1).double())
    pair.generator.insert(3, nn.Conv2d(4, 4, 3, padding=1).double())
    pair.generator[3].weight = pair.generator[2].weight


def used_twice(pair):
    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)).double()
    pair.generator.insert(2, block)
    pair.generator.insert(3, block)


def frozen(pair):
    pair.generator[0].requires_grad_(False)


def hooked_then_frozen(pair):
    masked(pair)
    pair.generator[-2].weight.requires_grad_(False)


def listed(pair):
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.scales = nn.ParameterList([torch.ones(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)])
            self.shifts = nn.ParameterDict({"a": torch.zeros(1, dtype=torch.float64)})

        def forward(self, x):
            return x * self.scales[0] * self.scales[1] + self.shifts["a"]

    pair.generator.append(Listed())


DIFFERENTIABLE = [masked, halved_twice, clipped, zeroed, closure_hook, default_hook, pre_hook_of_a_method, replaced_forward, weak_parent]
DIFFERENTIABLE += [old_weight_norm, new_weight_norm, orthogonal, pruned, tied, used_twice, frozen, hooked_then_frozen, listed]


@pytest.mark.parametrize("change", [*DIFFERENTIABLE, old_spectral_norm], ids=lambda change: change.__name__)
@pytest.mark.parametrize("has_run", [False, True])
def test_a_copy_plays_the_game_of_the_original(change, has_run):
    expected = in_place_game(change)
    pair = smooth_pair()
    torch.manual_seed(0)
    change(pair)
    expected = in_place_game(lambda other: (torch.manual_seed(0), change(other)))
    if has_run and change is not old_spectral_norm:  # whose vectors a forward pass moves
        SquaresObjective().losses(pair, small_batch(5))
    before = parameters_of(pair)
    phi = gm.adapt(pair, SquaresObjective(), small_batch(5), SGD)
    assert_close(parameters_of(phi), expected, rtol=0, atol=1e-15)
    assert_close(parameters_of(pair), before, rtol=0, atol=0)
    again = gm.adapt(phi, SquaresObjective(), small_batch(5), dataclasses.replace(SGD, steps=0))
    assert_close(parameters_of(again), parameters_of(phi), rtol=0, atol=0)
    reptile = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=SGD)
    for _ in range(2):
        grads = reptile.meta_gradient(pair, gm.Task(small_batch(5))).grads
        for name, grad in grads.items():
            assert_close(before[name] - grad, expected[name], rtol=0, atol=1e-15)


@pytest.mark.parametrize("change", DIFFERENTIABLE, ids=lambda change: change.__name__)
def test_mamls_engines_play_the_game_of_the_original(change):
    pair = smooth_pair()
    torch.manual_seed(0)
    change(pair)
    create = functools.partial(gm.algorithms.create, "maml", objective=SquaresObjective(), inner=SGD)
    unrolled, sweep = (create(memory=memory).meta_gradient(pair, TASK).grads for memory in ("unrolled", "sweep"))
    assert_close(unrolled, sweep, rtol=1e-9, atol=1e-12)
    short = dataclasses.replace(SGD, lr=1e-9)
    near, first = (
        gm.algorithms.create(name, objective=SquaresObjective(), inner=short).meta_gradient(pair, TASK).grads for name in ("maml", "fomaml")
    )
    assert_close(near, first, rtol=1e-6, atol=1e-7)  # MAML's limit where steps are small


def test_a_gradient_hook_is_part_of_mamls_game():
    """Halving the gradient of all weights is halving the rate; theta's own gradient is halved once more, by theta's hook."""
    hooked, plain = smooth_pair(), smooth_pair()
    for weight in hooked.parameters():
        weight.register_hook(lambda gradient: gradient / 2)
    found = gm.algorithms.create("maml", objective=SquaresObjective(), inner=SGD).meta_gradient(hooked, TASK).grads
    slow = dataclasses.replace(SGD, lr=SGD.lr / 2)
    expected = gm.algorithms.create("maml", objective=SquaresObjective(), inner=slow).meta_gradient(plain, TASK).grads
    assert_close(found, {name: grad / 2 for name, grad in expected.items()}, rtol=1e-12, atol=1e-15)


def test_a_masked_channel_gets_no_direction():
    for name in ("reptile", "fomaml", "maml"):
        pair = smooth_pair()
        masked(pair)
        grads = gm.algorithms.create(name, objective=SquaresObjective(), inner=SGD).meta_gradient(pair, TASK).grads
        assert grads["generator.3.weight"][1:].abs().max() == 0
        assert grads["generator.3.weight"][0].abs().max() > 0


@pytest.mark.parametrize(
    "hook",
    [lambda gradient: gradient.detach() * 0.5, lambda gradient: gradient.data.mul_(0.5), torch.no_grad()(lambda gradient: gradient * 2)],
)
def test_a_hook_without_a_derivative_is_refused_by_maml_alone(hook):
    pair = smooth_pair()
    pair.generator[0].weight.register_hook(hook)
    gm.algorithms.create("fomaml", objective=SquaresObjective(), inner=SGD).meta_gradient(pair, TASK)
    with pytest.raises(ValueError, match=r"gradient hook of 'generator.0.weight' changes the gradient where no derivative"):
        gm.algorithms.create("maml", objective=SquaresObjective(), inner=SGD).meta_gradient(pair, TASK)


def test_a_backward_hook_is_refused_by_maml_alone():
    pair = smooth_pair()
    pair.generator[1].register_full_backward_hook(lambda _module, grads, _outs: (grads[0] / 2,))
    gm.algorithms.create("reptile", objective=SquaresObjective(), inner=SGD).meta_gradient(pair, TASK)
    with pytest.raises(ValueError, match=r"MAML would be wrong with the backward hook of 'generator.1'"):
        gm.algorithms.create("maml", objective=SquaresObjective(), inner=SGD).meta_gradient(pair, TASK)


def test_what_no_game_can_play_is_refused_by_name():
    pair = smooth_pair()
    pair.generator[0].weight.register_post_accumulate_grad_hook(lambda _parameter: None)
    lazy = gm.GANPair(nn.Sequential(nn.LazyConv2d(3, 3, padding=1)), smooth_pair().discriminator)
    for refused, words in (
        (pair, "'generator.0.weight' has a hook of register_post_accumulate"),
        (lazy, r"'generator.0' \(LazyConv2d\) is lazy"),
    ):
        with pytest.raises(ValueError, match=words):
            gm.adapt(refused, SquaresObjective(), TASK.support, SGD)
        with pytest.raises(ValueError, match=words):
            gm.pretrain(refused, SquaresObjective(), TASK.support, steps=1)


def test_a_hook_and_an_objective_that_share_a_list_still_do():
    class Matching(SquaresObjective):
        """Feature matching on what a hook collected."""

        def __init__(self, pair):
            self.features = []
            pair.discriminator[1].register_forward_hook(lambda _module, _inputs, out: self.features.append(out))

        def generator_loss(self, pair, batch):
            self.features.clear()
            for image in (batch["image"], pair.generator(batch["pose"])):
                pair.discriminator(torch.cat([batch["pose"], image], 1))
            real, fake = self.features
            return (real - fake).square().flatten(1).mean(1)

    class Direct(SquaresObjective):
        def generator_loss(self, pair, batch):
            real, fake = (
                pair.discriminator[:2](torch.cat([batch["pose"], image], 1)) for image in (batch["image"], pair.generator(batch["pose"]))
            )
            return (real - fake).square().flatten(1).mean(1)

    pair = smooth_pair()
    objective = Matching(pair)
    for name in ("reptile", "fomaml", "maml"):
        grads = gm.algorithms.create(name, objective=objective, inner=SGD).meta_gradient(pair, TASK).grads
        expected = gm.algorithms.create(name, objective=Direct(), inner=SGD).meta_gradient(smooth_pair(), TASK).grads
        assert_close(grads, expected, rtol=0, atol=1e-14)


def test_an_objective_that_names_a_network_of_the_pair_sees_the_games():
    class Holding(SquaresObjective):
        def __init__(self, pair):
            self.judge = pair.discriminator

        def generator_loss(self, pair, batch):
            return super().generator_loss(SimpleNamespace(generator=pair.generator, discriminator=self.judge), batch)

    pair = smooth_pair()
    expected = parameters_of(gm.adapt(smooth_pair(), SquaresObjective(), TASK.support, SGD))
    assert_close(parameters_of(gm.adapt(pair, Holding(pair), TASK.support, SGD)), expected, rtol=0, atol=0)
    reptile = gm.algorithms.create("reptile", objective=Holding(pair), inner=SGD)
    first = reptile.meta_gradient(pair, TASK).grads
    assert_close(reptile.meta_gradient(pair, TASK).grads, first, rtol=0, atol=0)
    gm.pretrain(pair, Holding(pair), TASK.support, steps=3, inner=SGD)
    assert_close(parameters_of(pair), expected, rtol=0, atol=0)


def test_attributes_of_weights_come_along():
    pair = smooth_pair()
    pair.generator[0].weight.group = ["first"]
    copied = pair.clone().generator[0].weight
    assert copied.group == ["first"]
    assert copied.group is not pair.generator[0].weight.group
