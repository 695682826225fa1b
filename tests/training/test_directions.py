"""What an algorithm of one's own hands over is checked in words before theta moves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gan_meta as gm
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair


class Given(gm.MetaAlgorithm):
    """Hands over what a function makes of zeros."""

    def __init__(self, make, inner=None):
        super().__init__(objective=SquaresObjective(), inner=inner or gm.InnerLoop(steps=1))
        self.make = make

    def meta_gradient(self, pair, task, seed=0):
        return self.make({name: torch.zeros_like(parameter) for name, parameter in pair.named_parameters()})


def train(make, inner=None):
    pair = smooth_pair()
    pair.generator.append(nn.BatchNorm2d(3).double())
    before = parameters_of(pair)
    try:
        gm.MetaTrainer(pair, Given(make, inner), [gm.Task(small_batch(2))], iterations=1).fit()
    finally:
        assert all(torch.equal(tensor, before[name]) for name, tensor in pair.named_parameters())


def without_biases(zeros):
    return gm.MetaGradient({name: zero for name, zero in zeros.items() if not name.endswith("bias")})


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (without_biases, ValueError, r"gave no direction for 'generator.0.bias' \(5 of 10 learned parameters have none\): give zeros"),
        (lambda zeros: None, TypeError, "returned a NoneType; it must return a gan_meta.MetaGradient"),
        (lambda zeros: zeros, TypeError, "returned a dict"),
        (lambda zeros: gm.MetaGradient(list(zeros)), TypeError, "grads are a list; they must be a dict of tensors by name"),
        (
            lambda zeros: gm.MetaGradient({**zeros, "generator.9.bias": 0}),
            ValueError,
            "'generator.9.bias', which the pair has not",
        ),
        (lambda zeros: gm.MetaGradient({name: zero[:0] for name, zero in zeros.items()}), ValueError, r"it must be \(4, 2, 3, 3\) float64"),
        (lambda zeros: gm.MetaGradient({name: zero.float() for name, zero in zeros.items()}), ValueError, "float32 on cpu for"),
        (lambda zeros: gm.MetaGradient(dict.fromkeys(zeros)), TypeError, "a NoneType for 'generator.0.weight'; it must be a tensor"),
        (lambda zeros: gm.MetaGradient(zeros, {"meta_lr": 1.0}), ValueError, "logs have 'meta_lr', which the trainer says itself"),
        (lambda zeros: gm.MetaGradient(zeros, {}, {"generator.5.mean": torch.ones(3)}), ValueError, "buffers have 'generator.5.mean'"),
    ],
)
def test_what_theta_cannot_move_by_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        train(make)


def test_what_is_not_learned_needs_none():
    train(without_biases, gm.InnerLoop(steps=1, roles={"*.bias": "local"}))
    train(gm.MetaGradient)
