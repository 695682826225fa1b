"""What is recomputed on the way back (activation checkpointing, functions of one's own): the direction without it, or a refusal."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, checkpoint_sequential, create_selective_checkpoint_contexts

import gan_meta as gm
from tests.conftest import SharedForwardObjective, SquaresObjective, small_batch
from tests.oracles.test_finite_differences import assert_equals_finite_differences, game

FIRST_ORDER = {"reptile": ("reptile", {}), "fomaml": ("fomaml", {})}
SECOND_ORDER = {memory: ("maml", {"memory": memory}) for memory in ("sweep", "unrolled", "auto")}
ALGORITHMS = {**FIRST_ORDER, **SECOND_ORDER}
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


class Twice(torch.autograd.Function):
    """Recomputes a module; its weights are inputs, and its gradient can be differentiated again."""

    @staticmethod
    def forward(ctx, module, x, *weights):
        ctx.module = module
        ctx.save_for_backward(x, *weights)
        with torch.no_grad():
            return module(x)

    @staticmethod
    def backward(ctx, gradient):
        saved = ctx.saved_tensors
        wanted = [tensor for tensor in saved if tensor.requires_grad]
        with torch.enable_grad():
            out = ctx.module(saved[0])
        found = iter(torch.autograd.grad(out, wanted, gradient, create_graph=torch.is_grad_enabled()))
        return None, *(next(found) if tensor.requires_grad else None for tensor in saved)


class Once(Twice):
    """As diffusion models' code does it: from detached inputs, so that it can be differentiated once only."""

    @staticmethod
    def backward(ctx, gradient):
        x, *weights = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            out = ctx.module(x)
        return None, *torch.autograd.grad(out, [x, *weights], gradient)


class Cut(Twice):
    """Differentiable again to the look of it, but from a detached input."""

    @staticmethod
    def backward(ctx, gradient):
        x, *weights = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            out = ctx.module(x)
        return None, *torch.autograd.grad(out, [x, *weights], gradient, create_graph=True)


class Formula(torch.autograd.Function):
    """A tanh whose backward pass computes it again, as far as first derivatives go."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx, gradient):
        with torch.enable_grad():
            y = ctx.saved_tensors[0].detach().requires_grad_().tanh()
        return gradient * (1 - y * y)


class Unrecorded(Formula):
    """The same without recording."""

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return gradient * (1 - ctx.saved_tensors[0].tanh() ** 2)


class ByData(Formula):
    """The same by ``.data``."""

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (1 - ctx.saved_tensors[0].data.tanh() ** 2)


class Masked(Formula):
    """A ReLU, of which a mask is all that detached tensors are used for."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0].detach() > 0)


class Adds(torch.autograd.Function):
    """Recomputes a module by a backward pass of its own, which adds to ``.grad``."""

    @staticmethod
    def forward(ctx, module, x):
        ctx.module = module
        ctx.save_for_backward(x)
        with torch.no_grad():
            return module(x)

    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            out = ctx.module(x)
        out.backward(gradient)
        return None, x.grad


def with_weights(function):
    return lambda module, x: function.apply(module, x, *module.parameters())


def saves_products(_context, operation, *_arguments, **_options):
    return CheckpointPolicy.MUST_SAVE if operation is torch.ops.aten.convolution.default else CheckpointPolicy.PREFER_RECOMPUTE


RIGHT = {
    "checkpoint": functools.partial(checkpoint, use_reentrant=False),
    "sequential": lambda module, x: checkpoint_sequential(module, 2, x, use_reentrant=False),
    "nested": lambda module, x: checkpoint(lambda y: checkpoint(module[1:], module[:1](y), use_reentrant=False), x, use_reentrant=False),
    "function": with_weights(Twice),
}


class Block(nn.Module):
    """Layers run in one of these ways; by default as they are."""

    def __init__(self, way, *layers):
        super().__init__()
        self.layers, self.way = nn.Sequential(*layers), way

    def forward(self, x):
        return self.layers(x) if self.way is None else self.way(self.layers, x)


def conv_pair(way, *extra):
    torch.manual_seed(0)
    conv = functools.partial(nn.Conv2d, kernel_size=3, padding=1)
    generator = Block(way, conv(2, 4), *(layer() for layer in extra), nn.SiLU(), conv(4, 3), nn.Tanh())
    discriminator = Block(way, conv(5, 4, stride=2), *(layer() for layer in extra), nn.SiLU(), conv(4, 1))
    return gm.GANPair(generator, discriminator).double()


def linear_pair(way, *extra):
    torch.manual_seed(0)

    def player(inputs, outputs):
        into, out = nn.Linear(inputs * 64, 6), nn.Linear(6, outputs * 64)
        return nn.Sequential(
            nn.Flatten(), Block(way, into, *(layer() for layer in extra), nn.Softplus(), out), nn.Unflatten(1, (outputs, 8, 8))
        )

    return gm.GANPair(player(2, 3), player(5, 1)).double()


def tailed_pair(way, *extra):
    """A block between layers, so that its inputs have a gradient."""
    torch.manual_seed(0)
    conv = functools.partial(nn.Conv2d, kernel_size=3, padding=1)
    generator = nn.Sequential(conv(2, 4), Block(way, nn.SiLU(), *(layer() for layer in extra), conv(4, 4), nn.SiLU()), conv(4, 3))
    discriminator = nn.Sequential(conv(5, 4), Block(way, nn.SiLU(), *(layer() for layer in extra), conv(4, 4), nn.SiLU()), conv(4, 1))
    return gm.GANPair(generator, discriminator).double()


def update_of(pair, algorithm, objective=SquaresObjective, **options):
    name, own = ALGORITHMS[algorithm]
    inner = gm.InnerLoop(**{"steps": 3, "lr": 1e-2, "eps": 1e-2, "batch_size": 4, **options})
    return gm.algorithms.create(name, objective=objective(), inner=inner, **own).meta_gradient(
        pair, gm.Task(small_batch(4), small_batch(3, seed=9))
    )


def assert_same(made, way, algorithm, *extra, **options):
    plain, again = (update_of(made(chosen, *extra), algorithm, **options) for chosen in (None, way))
    for name, expected in plain.grads.items():
        torch.testing.assert_close(again.grads[name], expected, rtol=1e-9, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")
    for name, expected in plain.buffers.items():
        torch.testing.assert_close(again.buffers[name], expected, rtol=1e-12, atol=1e-12)


@algorithms
@pytest.mark.parametrize("way", RIGHT)
@pytest.mark.parametrize("made", [conv_pair, linear_pair, tailed_pair])
def test_the_direction_is_that_without_recomputation(made, way, algorithm):
    assert_same(made, RIGHT[way], algorithm, update="alternating", update_ratio=(1, 2))


@algorithms
@pytest.mark.parametrize(
    "layer",
    [
        functools.partial(nn.Dropout, 0.3),
        functools.partial(nn.BatchNorm2d, 4),
        functools.partial(nn.InstanceNorm2d, 4, affine=True),
        functools.partial(nn.InstanceNorm2d, 4, affine=True, track_running_stats=True),
    ],
    ids=["dropout", "batchnorm", "instancenorm", "tracked"],
)
@pytest.mark.parametrize("objective", [SquaresObjective, SharedForwardObjective])
def test_layers_that_draw_or_keep_statistics(layer, algorithm, objective):
    assert_same(conv_pair, RIGHT["checkpoint"], algorithm, layer, objective=objective)


def test_instance_norm_without_weights_is_recomputed_by_its_closed_form():
    plain, again = (update_of(conv_pair(way, functools.partial(nn.InstanceNorm2d, 4)), "sweep") for way in (None, RIGHT["checkpoint"]))
    assert all(torch.equal(plain.grads[name], again.grads[name]) for name in plain.grads)


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
@pytest.mark.parametrize("way", ["nested", "function"])
def test_finite_differences_agree(memory, way):
    assert_equals_finite_differences(conv_pair(RIGHT[way]), game(update="alternating"), memory=memory)


class Penalised(SquaresObjective):
    """With a penalty on the discriminator's slope, which a loss takes itself."""

    def discriminator_loss(self, pair, batch):
        real = torch.cat([batch["pose"], batch["image"]], 1).requires_grad_()
        (slope,) = torch.autograd.grad(pair.discriminator(real).sum(), real, create_graph=True)
        return super().discriminator_loss(pair, batch) + slope.square().flatten(1).sum(1)


@algorithms
@pytest.mark.parametrize("way", ["checkpoint", "function"])
def test_a_loss_that_takes_a_gradient_itself(algorithm, way):
    assert_same(conv_pair, RIGHT[way], algorithm, objective=Penalised)


REENTRANT = functools.partial(checkpoint, use_reentrant=True)


@algorithms
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize(
    ("made", "words"),
    [
        (conv_pair, "or by torch.utils.checkpoint without use_reentrant=False"),
        (tailed_pair, r"use torch.utils.checkpoint.checkpoint\(..., use_reentrant=False\)"),
        (
            lambda way: gm.GANPair(
                *(
                    nn.Sequential(player, nn.Tanh(), nn.Conv2d(c, c, 1).double())
                    for player, c in zip((conv_pair(way).generator, conv_pair(way).discriminator), (3, 1), strict=True)
                )
            ),
            "is used within an autograd function that gives it no gradient, .* use_reentrant=False",
        ),
    ],
    ids=["all", "between", "first"],
)
def test_reentrant_checkpointing_is_refused(algorithm, made, words):
    with pytest.raises(ValueError, match=words):
        update_of(made(REENTRANT), algorithm)


@pytest.mark.parametrize("algorithm", FIRST_ORDER)
@pytest.mark.parametrize(
    "way",
    [
        with_weights(Once),
        with_weights(Cut),
        functools.partial(
            checkpoint, use_reentrant=False, context_fn=functools.partial(create_selective_checkpoint_contexts, saves_products)
        ),
    ],
    ids=["once", "cut", "selective"],
)
def test_what_can_be_differentiated_once_serves_first_order(way, algorithm):
    assert_same(tailed_pair, way, algorithm)


@pytest.mark.parametrize("algorithm", SECOND_ORDER)
@pytest.mark.parametrize(
    ("way", "words"),
    [
        (with_weights(Once), "computes with detached tensors, .* so that it cannot be differentiated again"),
        (with_weights(Cut), "computes with detached tensors"),
        (functools.partial(checkpoint, use_reentrant=False, debug=True), "are entered more often than they can be"),
        (
            functools.partial(
                checkpoint, use_reentrant=False, context_fn=functools.partial(create_selective_checkpoint_contexts, saves_products)
            ),
            "selective activation checkpointing can be differentiated once only",
        ),
    ],
    ids=["once", "cut", "debug", "selective"],
)
def test_but_not_second_order(way, words, algorithm):
    with pytest.raises(ValueError, match=words):
        update_of(tailed_pair(way), algorithm)


FORMULAS = {kind.__name__: lambda module, x, kind=kind: kind.apply(module(x)) for kind in (Formula, Unrecorded, ByData)}


@pytest.mark.parametrize("way", FORMULAS)
def test_a_formula_that_is_cut_serves_first_order_only(way):
    plain = update_of(tailed_pair(lambda module, x: module(x).tanh()), "fomaml")
    for name, gradient in update_of(tailed_pair(FORMULAS[way]), "fomaml").grads.items():
        torch.testing.assert_close(gradient, plain.grads[name], rtol=1e-9, atol=1e-12)
    for algorithm in SECOND_ORDER:
        with pytest.raises(ValueError, match=r"computes with detached tensors, or under torch.no_grad\(\)"):
            update_of(tailed_pair(FORMULAS[way]), algorithm)


@pytest.mark.parametrize("algorithm", SECOND_ORDER)
def test_a_mask_of_detached_tensors_is_no_fault(algorithm):
    expected = update_of(tailed_pair(lambda module, x: module(x).relu()), algorithm)
    found = update_of(tailed_pair(lambda module, x: Masked.apply(module(x))), algorithm)
    for name, gradient in found.grads.items():
        torch.testing.assert_close(gradient, expected.grads[name], rtol=1e-9, atol=1e-12)


@algorithms
def test_a_function_that_adds_to_grad_is_refused(algorithm):
    with pytest.raises(ValueError, match=r"calls backward\(\) on the way back|cannot be differentiated again"):
        update_of(tailed_pair(lambda module, x: Adds.apply(module, x)), algorithm)


@algorithms
@pytest.mark.parametrize("way", [functools.partial(checkpoint, use_reentrant=False, preserve_rng_state=False), with_weights(Twice)])
def test_draws_that_are_not_the_forward_passs_are_refused(way, algorithm):
    with pytest.raises(ValueError, match="what is recomputed in the backward pass draws random numbers anew"):
        update_of(conv_pair(way, functools.partial(nn.Dropout, 0.3)), algorithm)


class Counts(nn.Module):
    """A layer whose buffer changes what it does."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x * (1 + self.calls / 10)


class CountsInPython(nn.Module):
    """The same with a plain number."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * (1 + self.calls / 10)


class CountsInAList(nn.Module):
    """The same with a list."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x):
        self.calls.append(1)
        return x * (1 + len(self.calls) / 10)


@algorithms
@pytest.mark.parametrize("layer", [CountsInPython, CountsInAList])
def test_an_attribute_that_has_moved_on_is_refused(algorithm, layer):
    with pytest.raises(ValueError, match=r"the attribute 'discriminator.layers.1.calls' changes in the forward pass"):
        update_of(conv_pair(RIGHT["checkpoint"], layer), algorithm)


def test_a_tensor_that_each_pass_makes_anew_is_no_fault():
    assert_same(conv_pair, RIGHT["checkpoint"], "reptile", lambda: nn.utils.weight_norm(nn.Conv2d(4, 4, 1)))


class KeepsLast(nn.Module):
    """A layer that keeps what it saw last, and does not look at it."""

    last = None

    def forward(self, x):
        self.last = x
        return x


class AddsLast(KeepsLast):
    """A layer that looks at what it saw last."""

    def forward(self, x):
        last, self.last = self.last, x.detach()
        return x if last is None else x + last.mean() / 10


class WritesLast(nn.Module):
    """The same, written in place."""

    def __init__(self):
        super().__init__()
        self.mean = torch.zeros((), dtype=torch.float64)

    def forward(self, x):
        with torch.no_grad():
            self.mean.mul_(0.9).add_(x.mean())
        return x * (1 + self.mean)


@algorithms
def test_a_tensor_that_is_kept_and_not_looked_at_is_no_fault(algorithm):
    assert_same(conv_pair, RIGHT["checkpoint"], algorithm, KeepsLast)


@algorithms
@pytest.mark.parametrize(("layer", "name"), [(AddsLast, "last"), (WritesLast, "mean")])
def test_a_tensor_that_is_looked_at_has_moved_on(algorithm, layer, name):
    with pytest.raises(ValueError, match=rf"the attribute 'discriminator.layers.1.{name}' changes in the forward pass"):
        update_of(conv_pair(RIGHT["checkpoint"], layer), algorithm)


@pytest.mark.parametrize("algorithm", ["reptile", "sweep", "unrolled"])
def test_a_torch_without_its_private_engine(algorithm, monkeypatch):
    monkeypatch.delattr(torch.autograd.graph, "_engine_run_backward")
    assert_same(tailed_pair, RIGHT["checkpoint"], algorithm, functools.partial(nn.BatchNorm2d, 4))
    with pytest.raises(ValueError, match="draws random numbers anew"):
        update_of(
            conv_pair(functools.partial(checkpoint, use_reentrant=False, preserve_rng_state=False), functools.partial(nn.Dropout, 0.3)),
            algorithm,
        )
    with pytest.raises(ValueError, match=r"the attribute 'discriminator.layers.1.calls' changes"):
        update_of(conv_pair(RIGHT["checkpoint"], CountsInPython), algorithm)


@algorithms
def test_a_buffer_that_has_moved_on_is_refused(algorithm):
    with pytest.raises(ValueError, match=r"the buffer 'discriminator.layers.1.calls' changes in the forward pass"):
        update_of(conv_pair(RIGHT["checkpoint"], Counts), algorithm)


@pytest.mark.parametrize("algorithm", FIRST_ORDER)
def test_spectral_norm_in_training_mode_is_refused_where_it_is_recomputed(algorithm):
    layer = lambda: spectral_norm(nn.Conv2d(4, 4, 1))  # noqa: E731
    with pytest.raises(ValueError, match=r"call eval\(\) on it where that keeps it still, as it does spectral normalisation"):
        update_of(conv_pair(RIGHT["checkpoint"], layer), algorithm)


def test_unused_weights_are_no_fault():
    pair = conv_pair(None)
    pair.generator.spare = nn.Linear(2, 2).double()
    update = update_of(pair, "reptile")
    assert not update.grads["generator.spare.weight"].any()
    assert not update_of(pair, "sweep").grads["generator.spare.weight"].any()
