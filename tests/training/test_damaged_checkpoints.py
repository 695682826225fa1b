"""Each entry of a training checkpoint is of its type, shape and range, or a CheckpointError names it and nothing is changed."""

from __future__ import annotations

import copy
import functools
import logging

import pytest
import torch
from torch import nn

import gan_meta as gm
from gan_meta.checkpoint import load_tensors, save_tensors
from tests.conftest import SquaresObjective, small_batch, smooth_pair

NAME = "generator.0.weight"


def trainer(folder, *, carry=False, meta_optimizer="adam", pair=None, iterations=3):
    algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=gm.InnerLoop(steps=1, lr=1e-2), carry_optimizer=carry)
    tasks = [gm.Task(small_batch(4))]
    return gm.MetaTrainer(
        pair or smooth_pair(), algorithm, tasks, iterations, meta_lr=1e-3, meta_optimizer=meta_optimizer, run_dir=folder, keep=1, logs=()
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Tensors and documents of good checkpoints."""
    plain, carried, joint = (tmp_path_factory.mktemp(name) for name in ("plain", "carried", "joint"))
    trainer(plain).fit()
    trainer(carried, carry=True).fit()
    pretrain(joint)
    return {
        "plain": load_tensors(plain / "meta-training.safetensors"),
        "carried": load_tensors(carried / "meta-training.safetensors"),
        "joint": load_tensors(joint / "pretraining.safetensors"),
    }


def pretrain(folder, pair=None):
    inner = gm.InnerLoop(lr=1e-2)
    return gm.pretrain(pair or smooth_pair(), SquaresObjective(), small_batch(8), steps=4, inner=inner, run_dir=folder)


def resume(folder, content, *, joint=False, **options):
    """Go on from this content, which is refused; the pair must stay as it was. Returns the message."""
    save_tensors(folder / f"{'pretraining' if joint else 'meta-training'}.safetensors", *content)
    pair = smooth_pair(seed=3)
    before = copy.deepcopy(pair.state_dict())
    again = (lambda: pretrain(folder, pair)) if joint else trainer(folder, pair=pair, **options).fit
    with pytest.raises(gm.CheckpointError) as refused:
        again()
    assert all(torch.equal(before[name], tensor) for name, tensor in pair.state_dict().items())
    return str(refused.value)


def put(document, path, value):
    """A copy of the document with another value at this path; an Ellipsis takes the entry away."""
    document = copy.deepcopy(document)
    *sections, name = path.split(".")
    at = functools.reduce(lambda inner, key: inner[int(key) if key.isdigit() else key], sections, document)
    if value is ...:
        del at[name]
    else:
        at[int(name) if isinstance(at, list) else name] = value
    return document


@pytest.mark.parametrize("value", [10**30, 4, -5, 1.5, True, None, "3", float("nan"), float("inf"), [], {}, ...])
def test_the_iteration_is_a_whole_number_within_the_training(tmp_path, written, value):
    tensors, document = written["plain"]
    words = resume(tmp_path, (tensors, put(document, "counters.iteration", value)))
    assert "counters.iteration is" in words
    assert "a whole number from 0 to 3" in words


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("counters", ..., "counters is missing; an object belongs there"),
        ("counters", [1], "counters is [1]; an object"),
        ("counters.skipped_tasks", -1, "counters.skipped_tasks is -1"),
        ("counters.skipped_tasks", 10**30, "counters.skipped_tasks is 1000"),
        ("counters.bad_in_a_row", 1, "counters.bad_in_a_row is 1; a whole number from 0 to 0"),
        ("counters.best", 3, "counters.best is 3; an object"),
        ("counters.best.score", float("nan"), "counters.best.score is nan; a finite number"),
        ("counters.best.score", [1], "counters.best.score is [1]"),
        ("counters.best.count", -1, "counters.best.count is -1"),
        ("counters.best.score", ..., "counters.best.score is missing"),
        ("counters.best.score", "1", "counters.best.score is '1'"),
        ("counters.best.iteration", 10**30, "counters.best.iteration is 1000"),
        ("counters.best.iteration", 1.5, "counters.best.iteration is 1.5"),
        ("counters.best.sum", float("inf"), "counters.best.sum is inf"),
        ("optimizer", ..., "optimizer is missing"),
        ("optimizer", "adam", "optimizer is 'adam'; an object"),
        ("optimizer.groups", [], "optimizer.groups is []; a list of 1 parameter groups"),
        ("optimizer.groups", [{}, {}], "a list of 1 parameter groups"),
        ("optimizer.groups", [3], "a list of 1 parameter groups"),
        ("optimizer.groups.0.colour", "red", "optimizer.groups[0].colour is 'red'; nothing of this name, which Adam here does not know"),
        ("optimizer.groups.0.betas", [0.5, 0.5], "optimizer.groups[0].betas is [0.5, 0.5]; [0.9, 0.999], as here"),
        ("optimizer.groups.0.eps", "small", "optimizer.groups[0].eps is 'small'"),
        ("optimizer.groups.0.lr", float("nan"), "optimizer.groups[0].lr is nan"),
        ("optimizer.groups.0.weight_decay", 10**30, "optimizer.groups[0].weight_decay is 1000"),
        ("optimizer.groups.0.params", [0, 1], "optimizer.groups[0].params is [0, 1]"),
        ("optimizer.plain", [], "optimizer.plain is []; an object"),
        ("optimizer.plain", {"0": {"colour": 1}}, "state of parameter 0 has the entries colour, exp_avg"),
        ("optimizer.plain", {"99": {"step": 1}}, "state of parameter '99', but there are 8"),
        ("optimizer.plain", {"first": {}}, "state of parameter 'first'"),
        ("optimizer.plain", {"0": 3}, "optimizer.plain.0 is 3; an object"),
        ("optimizer.with_state", [0], "optimizer.with_state is [0]"),
        ("settings", ..., "it has no settings"),
        ("settings", 3, "it has no settings"),
    ],
)
def test_the_documents_entries(tmp_path, written, path, value, words):
    tensors, document = written["plain"]
    assert words in resume(tmp_path, (tensors, put(document, path, value)))


def filled(value):
    return lambda tensor: torch.full_like(tensor, value)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("optimizer.0.exp_avg", lambda t: t.flatten(), "an entry 'exp_avg' that has the shape (72,), should have (4, 2, 3, 3)"),
        ("optimizer.1.exp_avg_sq", lambda t: t[:1], "an entry 'exp_avg_sq' that has the shape (1,), should have (4,)"),
        ("optimizer.0.exp_avg", lambda t: t.float(), "is of type torch.float32, should be torch.float64"),
        ("optimizer.0.exp_avg", lambda t: t.long(), "is of type torch.int64"),
        ("optimizer.0.exp_avg", filled(float("nan")), "an entry 'exp_avg' that holds values that are not finite"),
        ("optimizer.0.exp_avg_sq", filled(-1.0), "an entry 'exp_avg_sq' that holds values below 0"),
        ("optimizer.0.step", filled(4.0), "an entry 'step' that is 4, should be a whole number from 0 to 3"),
        ("optimizer.0.step", filled(1.5), "an entry 'step' that is 1.5"),
        ("optimizer.0.step", filled(-1.0), "an entry 'step' that is -1"),
        ("optimizer.0.step", filled(float("nan")), "not finite"),
        ("optimizer.0.step", lambda t: t.repeat(3), "an entry 'step' that has the shape (3,), should have ()"),
        ("optimizer.0.exp_avg", None, "state of parameter 0 has the entries exp_avg_sq, step; exp_avg, exp_avg_sq, step belong there"),
        ("optimizer.0.max_exp_avg_sq", lambda _: torch.zeros(1), "has the entries exp_avg, exp_avg_sq, max_exp_avg_sq, step"),
        ("optimizer.99.step", lambda _: torch.zeros(()), "state of parameter '99'"),
        ("optimizer.-1.step", lambda _: torch.zeros(()), "state of parameter '-1'"),
        ("algorithm.mean/x", lambda _: torch.zeros(1), "nothing here reads its tensor 'algorithm.mean/x'"),
        ("stranger", lambda _: torch.zeros(1), "nothing here reads its tensor 'stranger'"),
        (f"pair.{NAME}", None, f"missing {NAME}"),
        ("pair.more", lambda _: torch.zeros(1), "unexpected more"),
        (f"pair.{NAME}", lambda t: t[:1], f"{NAME} is (1, 2, 3, 3) in the file"),
        (f"pair.{NAME}", filled(float("nan")), f"{NAME} holds values that are not finite"),
        (f"pair.{NAME}", filled(1e30), f"{NAME} holds a value of size 1e+30"),
        (f"pair.{NAME}", lambda t: t.long(), f"{NAME} holds integer values"),
        (f"pair.{NAME}", lambda t: t > 0, f"{NAME} holds boolean values"),
        (f"pair.{NAME}", lambda t: (t + 1j).to(torch.complex64), f"{NAME} holds complex values"),
        ("buffers.x", lambda _: torch.zeros(1), "unexpected x"),
    ],
)
def test_the_tensors(tmp_path, written, name, change, words):
    tensors, document = written["plain"]
    tensors = dict(tensors)
    given = tensors.pop(name, None)
    if change is not None:
        tensors[name] = change(given)
    assert words in resume(tmp_path, (tensors, document))


def test_all_state_of_a_parameter_may_not_be_missing(tmp_path, written):
    tensors, document = written["plain"]
    fewer = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.2.")}
    assert "optimizer.with_state is [0, 1, 2, 3, 4, 5, 6, 7]; [0, 1, 3" in resume(tmp_path, (fewer, document))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (f"mean/{NAME}", lambda t: t[:1], "torch.float64 (1, 2, 3, 3), should be torch.float64 (4, 2, 3, 3)"),
        (f"mean/{NAME}", lambda t: t.float(), "torch.float32"),
        (f"square/{NAME}", filled(-1.0), "squares below 0"),
        (f"square/{NAME}", filled(float("inf")), "not finite"),
        (f"count/{NAME}", lambda t: t.double(), "no whole number"),
        (f"count/{NAME}", filled(-1), "no whole number"),
        (f"count/{NAME}", None, f"'count/{NAME}' is missing"),
        (f"mean/{NAME}", None, f"'mean/{NAME}' is missing"),
        ("mean/stranger", lambda _: torch.zeros(1), "'count/stranger' is missing"),
        ("other/thing", lambda _: torch.zeros(1), "is missing"),
        ("nothing", lambda _: torch.zeros(1), "is missing"),
    ],
)
def test_a_carried_optimiser(tmp_path, written, name, change, words):
    tensors, document = written["carried"]
    tensors = dict(tensors)
    given = tensors.pop(f"algorithm.{name}", None)
    if change is not None:
        tensors[f"algorithm.{name}"] = change(given)
    assert words in resume(tmp_path, (tensors, document), carry=True)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("position", 10**30, "position is 1000"),
        ("position", -1, "position is -1; a whole number from 0 to 4"),
        ("position", 5, "position is 5"),
        ("position", 2.5, "position is 2.5"),
        ("optimizers", [], "optimizers is []"),
        ("optimizers.generator", ..., "optimizers.generator is missing"),
        ("optimizers.discriminator.groups.0.betas", 3, "optimizers.discriminator.groups[0].betas is 3"),
    ],
)
def test_joint_trainings(tmp_path, written, path, value, words):
    tensors, document = written["joint"]
    assert words in resume(tmp_path, (tensors, put(document, path, value)), joint=True)
    spoilt = {**tensors, "generator-optimizer.0.step": torch.tensor(9.0)}
    assert "an entry 'step' that is 9, should be a whole number from 0 to 4" in resume(tmp_path, (spoilt, document), joint=True)


@pytest.mark.parametrize(
    "name", ["sgd", "adamw", "nadam", "rmsprop", "adagrad", "adadelta", "asgd", "rprop", "radam", "adamax", "momentum"]
)
def test_every_good_optimiser_state_is_read(tmp_path, name):
    optimizer = functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True) if name == "momentum" else name
    undisturbed = trainer(None, meta_optimizer=optimizer).fit()
    first = trainer(tmp_path, meta_optimizer=optimizer)
    first.checkpoint_every = 2

    def stop(iteration, _logs):
        if iteration == 2:
            raise InterruptedError

    first.on_iteration = stop
    with pytest.raises(InterruptedError):
        first.fit()
    resumed = trainer(tmp_path, meta_optimizer=optimizer, pair=smooth_pair(seed=5)).fit(resume=True)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True))


class Restless(torch.optim.SGD):
    """An optimiser of one's own that keeps something in its groups and refuses to be copied."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr=lr)
        self.param_groups[0]["turns"] = 0

    def step(self, closure=None):
        self.param_groups[0]["turns"] += 1
        return super().step(closure)

    def __deepcopy__(self, memo):
        raise TypeError("no copies")


def test_an_optimiser_of_ones_own_keeps_what_is_in_its_groups(tmp_path, caplog):
    trainer(tmp_path, meta_optimizer=Restless).fit()
    tensors, document = load_tensors(tmp_path / "meta-training.safetensors")
    resumed = trainer(tmp_path, meta_optimizer=Restless)
    resumed.fit()
    assert resumed._outer.optimizer.param_groups[0]["turns"] == 3
    for value in ("three", [3], float("nan")):
        words = resume(tmp_path, (tensors, put(document, "optimizer.groups.0.turns", value)), meta_optimizer=Restless)
        assert "optimizer.groups[0].turns is" in words


def passing_pair(value):
    pair = smooth_pair()
    pair.generator.register_buffer("passing", torch.full((2,), value), persistent=False)
    return pair


class Counting(gm.MetaAlgorithm):
    """Moves the buffer that is not persistent."""

    def __init__(self):
        super().__init__(objective=SquaresObjective(), inner=gm.InnerLoop())

    def meta_gradient(self, pair, task, seed=0):
        grads = {name: torch.zeros_like(parameter) for name, parameter in pair.named_parameters()}
        return gm.MetaGradient(grads, {}, {"generator.passing": pair.generator.passing + 1})


def test_buffers_that_are_not_persistent_are_kept(tmp_path, caplog):
    def counting(pair, iterations=2):
        return gm.MetaTrainer(pair, Counting(), [gm.Task(small_batch(1))], iterations, run_dir=tmp_path, best_by=None)

    counting(passing_pair(1.0)).fit()
    resumed = passing_pair(9.0)
    counting(resumed).fit(resume=True)
    assert resumed.generator.passing.tolist() == [3, 3]
    path = tmp_path / "meta-training.safetensors"
    tensors, document = load_tensors(path)
    fewer = {name: tensor for name, tensor in tensors.items() if not name.startswith("buffers.")}
    save_tensors(path, fewer, document)
    with pytest.raises(gm.CheckpointError, match=r"missing generator.passing"):
        counting(passing_pair(9.0)).fit()
    save_tensors(path, fewer, {name: value for name, value in document.items() if name != "settings_format"})
    with caplog.at_level(logging.WARNING):
        counting(passing_pair(9.0)).fit()
    assert "does not hold the buffers that are not persistent, which stay as they are: generator.passing" in caplog.text


def test_the_number_of_threads_is_recorded_and_a_change_is_said(tmp_path, caplog):
    torch.set_num_threads(1)
    trainer(tmp_path).fit()
    assert load_tensors(tmp_path / "meta-training.safetensors")[1]["threads"] == 1
    trainer(tmp_path).fit()
    assert "threads" not in caplog.text
    torch.set_num_threads(2)
    trainer(tmp_path).fit()
    assert "the checkpoint was written with threads 1, this is 2: the result may differ in its last bits" in caplog.text


def test_a_module_that_is_no_float_keeps_its_mask(tmp_path):
    """What a module holds itself, such as the infinities of a mask, is no damage."""

    def masked():
        pair = smooth_pair()
        pair.generator.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
        pair.generator.append(nn.BatchNorm2d(3).double())
        return pair

    done = trainer(tmp_path, pair=masked(), iterations=2).fit()
    again = trainer(tmp_path, pair=masked(), iterations=2).fit(resume=True)
    assert all(torch.equal(a, b) for a, b in zip(done.state_dict().values(), again.state_dict().values(), strict=True))
