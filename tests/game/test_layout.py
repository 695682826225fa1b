"""Games over weights, gradients and averages in any memory layout: torch.optim.Adam's numbers, in every game and after a resume."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import gan_meta as gm
from gan_meta.training.outer_step import OuterStep
from tests.conftest import SquaresObjective, small_batch, smooth_pair

PLAIN = functools.partial(torch.optim.Adam, betas=(0.5, 0.999), eps=1e-8, foreach=False, fused=False)


class Turned(nn.Module):
    """Mixes channels by a weight whose gradient comes transposed, a weight that is stored transposed, and one with an expanded gradient."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Parameter(torch.randn(channels, channels))
        self.stored = nn.Parameter(torch.randn(channels, channels + 1).t()[:-1].contiguous().t())
        self.shift = nn.Parameter(torch.randn(channels, 3))

    def forward(self, x):
        mixed = torch.einsum("ij,njhw->nihw", self.mix.T.softmax(0) + self.stored, x)
        return mixed + self.shift.sum(1).view(1, -1, 1, 1) / 10


def turned():
    pair = smooth_pair(norm=False)
    pair.generator.insert(1, Turned(4))
    pair.discriminator.insert(1, Turned(4))
    return pair.double()


def channels_last():
    return smooth_pair(norm=False).to(memory_format=torch.channels_last)


def weight_norm_channels_last():
    pair = smooth_pair(norm=False)
    for module in [m for m in pair.modules() if isinstance(m, nn.Conv2d)]:
        weight_norm(module)
    return pair.to(memory_format=torch.channels_last)


class In3d(nn.Module):
    """A module of volumes, on pictures."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x.unsqueeze(2)).squeeze(2)


def channels_last_3d():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Conv3d(2, 4, (1, 3, 3), padding=(0, 1, 1)), nn.SiLU(), nn.Conv3d(4, 3, (1, 3, 3), padding=(0, 1, 1)))
    discriminator = nn.Sequential(nn.Conv3d(5, 4, (1, 4, 4), stride=2, padding=(0, 1, 1)), nn.SiLU(), nn.Conv3d(4, 1, (1, 3, 3)))
    return gm.GANPair(In3d(generator), In3d(discriminator)).double().to(memory_format=torch.channels_last_3d)


LAYOUTS = {made.__name__: made for made in (channels_last, weight_norm_channels_last, turned, channels_last_3d)}
layouts = pytest.mark.parametrize("made", LAYOUTS.values(), ids=LAYOUTS)


def inner(optimizer="adam", **options):
    return gm.InnerLoop(**{"steps": 3, "lr": 1e-2, "optimizer": optimizer, **options})


def contiguous(pair):
    """The same pair, each weight laid out as it comes out of a file."""
    copied = pair.clone()
    for parameter in copied.parameters():
        parameter.data = parameter.detach().clone(memory_format=torch.contiguous_format)
    return copied


def assert_close(one, other):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


def weights(pair):
    return {name: parameter.detach() for name, parameter in pair.named_parameters()}


@layouts
@pytest.mark.parametrize("options", [{}, {"update": "alternating", "update_ratio": (2, 1)}], ids=["simultaneous", "alternating"])
def test_a_game_is_that_of_torchs_adam(made, options):
    pair, batch = made(), small_batch(5)
    expected = weights(gm.adapt(pair, SquaresObjective(), batch, inner(PLAIN, **options)))
    assert_close(weights(gm.adapt(pair, SquaresObjective(), batch, inner(**options))), expected)
    assert_close(weights(gm.adapt(contiguous(pair), SquaresObjective(), batch, inner(**options))), expected)


@layouts
@pytest.mark.parametrize(
    ("fused", "plain"),
    [
        (functools.partial(torch.optim.AdamW, fused=True), functools.partial(torch.optim.AdamW, foreach=False)),
        (functools.partial(torch.optim.SGD, momentum=0.9, fused=True), functools.partial(torch.optim.SGD, momentum=0.9, foreach=False)),
        (functools.partial(torch.optim.Adagrad, fused=True), functools.partial(torch.optim.Adagrad, foreach=False)),
        (functools.partial(torch.optim.Adam, foreach=True), functools.partial(torch.optim.Adam, foreach=False)),
    ],
    ids=["adamw", "momentum", "adagrad", "foreach"],
)
def test_fused_optimisers_of_ones_own_too(made, fused, plain):
    pair, batch = made(), small_batch(5)
    one, other = (gm.adapt(pair, SquaresObjective(), batch, inner(optimizer)) for optimizer in (fused, plain))
    assert_close(weights(one), weights(other))


@layouts
@pytest.mark.parametrize("name", ["reptile", "fomaml", "unrolled", "sweep"])
@pytest.mark.parametrize("carry", [False, True], ids=["fresh", "carried"])
def test_the_second_task_of_every_algorithm(made, name, carry):
    def second(pair):
        own = {"memory": name} if name in ("unrolled", "sweep") else {}
        algorithm = gm.algorithms.create(
            "maml" if own else name, objective=SquaresObjective(), inner=inner(eps=1e-3), carry_optimizer=carry, **own
        )
        for seed in (0, 1):
            update = algorithm.meta_gradient(pair, gm.Task(small_batch(4, seed), small_batch(3, seed=9)), seed)
        return update.grads

    pair = made()
    assert_close(second(pair), second(contiguous(pair)))


@layouts
@pytest.mark.parametrize("resumed", [channels_last, lambda: contiguous(channels_last())], ids=["resumed as it was", "resumed otherwise"])
def test_pretraining_resumes_to_the_same(made, resumed, tmp_path):
    def train(pair, **options):
        return gm.pretrain(pair, SquaresObjective(), small_batch(6), steps=4, inner=inner(), checkpoint_every=2, **options)

    def stop(iteration, steps, losses):
        if iteration == 2:
            raise KeyboardInterrupt

    expected = gm.pretrain(made(), SquaresObjective(), small_batch(6), steps=4, inner=inner(PLAIN))
    assert_close(weights(train(made())), weights(expected))
    with pytest.raises(KeyboardInterrupt):
        train(made(), run_dir=tmp_path, on_step=stop)
    again = made() if resumed is channels_last else contiguous(made())
    assert_close(weights(train(again, run_dir=tmp_path)), weights(expected))


@layouts
def test_meta_training_resumes_to_the_same(made, tmp_path):
    def trainer(pair, **options):
        algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=inner(steps=2), carry_optimizer=True)
        tasks = [gm.Task(small_batch(4, seed)) for seed in range(3)]
        factory = functools.partial(torch.optim.Adam, fused=options.pop("fused"))
        return gm.MetaTrainer(pair, algorithm, tasks, iterations=4, meta_lr=1e-2, checkpoint_every=2, meta_optimizer=factory, **options)

    def stop(iteration, logs):
        if iteration == 2:
            raise KeyboardInterrupt

    expected = trainer(contiguous(made()), fused=False).fit()
    with pytest.raises(KeyboardInterrupt):
        trainer(made(), fused=True, run_dir=tmp_path, on_iteration=stop).fit()
    assert_close(weights(trainer(made(), fused=True, run_dir=tmp_path).fit()), weights(expected))


class Sliced(nn.Module):
    """A product with a weight that is a view, as it may come of a larger tensor."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return x @ self.weight


class Pulls(gm.Objective):
    """A generator alone, pulled to its targets."""

    def generator_loss(self, pair, batch):
        return (pair(batch["x"]) - batch["y"]).square().sum(1)


@pytest.mark.parametrize("factory", ["adam", functools.partial(torch.optim.Adam, betas=(0.5, 0.999), fused=True)], ids=["adam", "fused"])
def test_weights_with_gaps_between_their_numbers(factory):
    whole = torch.randn(4, 6, dtype=torch.float64)
    batch = {"x": torch.randn(5, 4, dtype=torch.float64), "y": torch.randn(5, 3, dtype=torch.float64)}
    views = [whole.clone()[:, ::2], whole[:, ::2].contiguous()]
    assert not views[0].is_contiguous()
    played = [gm.pretrain(gm.GANPair(Sliced(view)), Pulls(), batch, steps=4, inner=inner(factory)) for view in views]
    assert_close(weights(played[0]), weights(played[1]))


class Embedded(nn.Module):
    """A row of a table for each sample, of which only the rows that were looked up have a gradient."""

    def __init__(self, is_sparse):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(7, 3, sparse=is_sparse).double()

    def forward(self, x):
        return self.table((x[:, 0].abs() * 3).long().clamp(max=6))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("name", ["reptile", "fomaml", "unrolled", "sweep"])
def test_sparse_gradients_are_dense_ones(name, optimizer):
    own = {"memory": name} if name in ("unrolled", "sweep") else {}
    batch = {"x": torch.randn(5, 4, dtype=torch.float64), "y": torch.randn(5, 3, dtype=torch.float64)}
    algorithm = gm.algorithms.create("maml" if own else name, objective=Pulls(), inner=inner(optimizer), **own)
    one, other = (algorithm.meta_gradient(gm.GANPair(Embedded(is_sparse)), gm.Task(batch, batch)).grads for is_sparse in (True, False))
    assert_close(one, other)


BATCH = {"x": torch.ones(5, 4), "y": torch.ones(5, 3)}


@pytest.mark.parametrize(
    "weight",
    [torch.ones(4, 1).expand(4, 3), torch.ones(6).unfold(0, 3, 1), torch.ones(9).as_strided((4, 3), (1, 2))],
    ids=["expanded", "windows", "interleaved"],
)
def test_a_weight_that_overlaps_itself_is_refused(weight):
    pair, words = gm.GANPair(Sliced(weight)), r"the weight 'generator.weight' is an expanded or overlapping view \(shape \(4, 3\), strides"
    with pytest.raises(ValueError, match=words):
        gm.pretrain(pair, Pulls(), BATCH, steps=1)
    with pytest.raises(ValueError, match=words):
        gm.adapt(pair, Pulls(), BATCH, inner())
    with pytest.raises(ValueError, match=words):
        gm.algorithms.create("maml", objective=Pulls(), inner=inner()).meta_gradient(pair, gm.Task(BATCH, BATCH))
    with pytest.raises(ValueError, match="is an expanded or overlapping view"):
        OuterStep(dict(pair.named_parameters()), "sgd", 1.0)


class Both(nn.Module):
    """Two weights, perhaps of one memory."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = nn.Parameter(first), nn.Parameter(second)

    def forward(self, x):
        return x @ self.first + 2 * x @ self.second


@pytest.mark.parametrize("second", [slice(0, 12), slice(6, 18)], ids=["all", "part"])
def test_weights_that_share_memory_are_refused(second):
    whole = torch.ones(18)
    pair = gm.GANPair(Both(whole[:12].view(4, 3), whole[second].view(4, 3)))
    for play in (gm.pretrain, gm.adapt):
        with pytest.raises(ValueError, match=r"the weights 'generator.first' and 'generator.second' share memory"):
            play(pair, Pulls(), BATCH, inner=inner())


@pytest.mark.parametrize("step", [1, 2], ids=["one after the other", "interleaved"])
def test_weights_of_one_flat_buffer_are_as_any(step):
    whole = torch.randn(24)
    views = (whole[:12], whole[12:]) if step == 1 else (whole[::2], whole[1::2])
    pair, apart = (gm.GANPair(Both(*(view.clone() if cloned else view for view in views))) for cloned in (False, True))
    for module in (pair.generator, apart.generator):
        module.first.data, module.second.data = module.first.data.view(4, 3), module.second.data.view(4, 3)
    assert_close(weights(gm.adapt(pair, Pulls(), BATCH, inner())), weights(gm.adapt(apart, Pulls(), BATCH, inner())))
    assert_close(
        weights(gm.pretrain(pair, Pulls(), BATCH, steps=3, inner=inner())),
        weights(gm.pretrain(apart, Pulls(), BATCH, steps=3, inner=inner())),
    )


def test_complex_weights_move_as_with_torchs_adam():
    class Rotated(Sliced):
        def forward(self, x):
            return torch.view_as_real(x.to(self.weight.dtype) @ self.weight).sum(-1)

    torch.manual_seed(0)
    pair = gm.GANPair(Rotated(torch.randn(4, 3, dtype=torch.complex128)))
    pair.generator.register_parameter("scale", nn.Parameter(torch.ones(1, dtype=torch.float64), requires_grad=False))
    batch = {"x": torch.randn(5, 4, dtype=torch.float64), "y": torch.randn(5, 3, dtype=torch.float64)}
    one, other = (gm.adapt(pair, Pulls(), batch, inner(optimizer, batch_size=5)) for optimizer in ("adam", PLAIN))
    assert_close(weights(one), weights(other))
    directions = [
        gm.algorithms.create("maml", objective=Pulls(), inner=inner(batch_size=5), memory=memory).meta_gradient(pair, gm.Task(batch, batch))
        for memory in ("unrolled", "sweep")
    ]
    assert_close(directions[0].grads, directions[1].grads)
