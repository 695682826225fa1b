"""Batches of other types than the weights are said by key, type and remedy; types that do no harm stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gan_meta as gm
from tests.conftest import SquaresObjective, small_batch, smooth_pair

INNER = gm.InnerLoop(steps=1)

WRONG = {
    "uint8": (lambda image: ((image + 1) * 127).to(torch.uint8), r"'image' is uint8, .* image.to\(torch.float64\) / 127.5 - 1"),
    "int64": (lambda image: image.long(), r"'image' is int64, .* image.to\(torch.float64\)"),
    "bool": (lambda image: image > 0, r"'image' is bool, .* image.to\(torch.float64\)"),
    "float32": (
        lambda image: image.float(),
        r"'image' is float32, .* image.to\(torch.float64\), or bring the pair.*pair.to\(torch.float32\)",
    ),
    "complex": (lambda image: image.cdouble(), r"'image' is complex128, .* torch.view_as_real\(image\)|loss is complex128"),
}


class Strict(SquaresObjective):
    """Hands pictures to a network as they are; nothing promotes them on the way."""

    def discriminator_loss(self, pair, batch):
        score = pair.discriminator[2](pair.discriminator[0](torch.cat([batch["pose"].to(batch["image"].dtype), batch["image"]], 1)))
        return super().discriminator_loss(pair, {**batch, "image": batch["image"].double()}) + score.flatten(1).mean(1)


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("way", ["adapt", "fomaml", "maml", "query", "pretrain", "check"])
def test_a_type_that_does_not_fit_is_said(kind, way):
    make, words = WRONG[kind]
    batch = small_batch(3)
    wrong = {**batch, "image": make(batch["image"])}
    if way == "check":
        report = gm.check(smooth_pair(), Strict(), gm.Task(wrong))
        assert "'image' is " in str(report)
        return
    task = gm.Task(batch, wrong) if way == "query" else gm.Task(wrong, batch)
    ways = {
        "adapt": lambda: gm.adapt(smooth_pair(), Strict(), wrong, INNER),
        "pretrain": lambda: gm.pretrain(smooth_pair(), Strict(), wrong),
    }
    algorithm = gm.algorithms.create("maml" if way == "maml" else "fomaml", objective=Strict(), inner=INNER)
    with pytest.raises(ValueError, match=words):
        ways.get(way, lambda: algorithm.meta_gradient(smooth_pair(), task))()


@pytest.mark.parametrize("make", [lambda loss: loss.cdouble(), lambda loss: loss.long(), lambda loss: loss > 0])
def test_a_loss_is_a_real_number(make):
    class Odd(SquaresObjective):
        def generator_loss(self, pair, batch):
            return make(super().generator_loss(pair, batch)["G_L2"])

    with pytest.raises(ValueError, match=r"the generator's loss is (complex128|int64|bool) at iteration 0; a loss is a real number"):
        gm.adapt(smooth_pair(), Odd(), small_batch(2), INNER)


def test_labels_masks_and_bytes_that_the_loss_takes_stay_what_they_are():
    batch = {**small_batch(3), "label": torch.arange(3), "mask": torch.ones(3, 1, 8, 8, dtype=torch.bool)}

    class Masked(SquaresObjective):
        def generator_loss(self, pair, batch):
            assert batch["label"].dtype == torch.int64
            assert batch["mask"].dtype == torch.bool
            return {name: term + batch["mask"].flatten(1).sum(1) for name, term in super().generator_loss(pair, batch).items()}

    gm.adapt(smooth_pair(), Masked(), batch, INNER)


def test_a_mistake_that_types_do_not_explain_is_the_users_own():
    class Wrong(SquaresObjective):
        def generator_loss(self, pair, batch):
            raise RuntimeError("this type of mistake")

    with pytest.raises(RuntimeError, match="this type of mistake"):
        gm.adapt(smooth_pair(), Wrong(), small_batch(3), INNER)


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda image: image.to_sparse(), r"image.to_dense\(\)"),
        (lambda image: torch.eye(3).to_sparse_csr(), r"image.to_dense\(\)"),
        (lambda image: torch.quantize_per_tensor(image.float(), 0.1, 0, torch.qint8), r"image.dequantize\(\)"),
        (lambda image: torch.nested.nested_tensor([image[0], image[1, :, :4]]), r"image.to_padded_tensor\(0\)"),
    ],
)
def test_tensors_of_which_no_samples_can_be_taken_are_refused(make, remedy):
    batch = small_batch(3)
    with pytest.raises(ValueError, match=f"batch key 'image' is a sparse, nested or quantised tensor.*{remedy}"):
        gm.adapt(smooth_pair(), SquaresObjective(), {**batch, "image": make(batch["image"])}, INNER)


class Items:
    def __init__(self, change):
        self.change = change

    def __len__(self):
        return 3

    def __getitem__(self, index):
        item = {name: tensor[index] for name, tensor in small_batch(3).items()}
        return self.change(item) if index == 2 else item


def another_size(item):
    return {**item, "image": torch.zeros(3, 9, 9)}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (another_size, ValueError, r"'image' is \(3, 8, 8\) in sample 0 and \(3, 9, 9\) in sample 2"),
        (lambda item: {"pose": item["pose"]}, ValueError, "sample 2 of the dataset has no 'image', which sample 0 has"),
        (lambda item: {**item, "image": "a picture"}, TypeError, "'image' is a str that makes no tensor"),
        (lambda item: {**item, "image": np.zeros((3, 8, 8))[:, ::-1]}, TypeError, "'image' is a ndarray that makes no tensor.*strides"),
        (lambda item: {**item, "image": None}, TypeError, "'image' is a NoneType that makes no tensor"),
    ],
)
def test_samples_that_do_not_go_together_are_named(change, error, words):
    with pytest.raises(error, match=words):
        gm.adapt(smooth_pair(), SquaresObjective(), Items(change), INNER)


def test_a_pair_of_another_kind_names_its_own_type():
    class Plain(gm.Objective):
        def generator_loss(self, pair, batch):
            return pair.generator(batch["z"]).square().flatten(1).mean(1)

    with pytest.raises(ValueError, match="'z' is int64, while the weights are bfloat16"):
        gm.adapt(gm.GANPair(nn.Linear(2, 2).bfloat16()), Plain(), {"z": torch.ones(2, 2, dtype=torch.long)}, INNER)
