"""A training goes on only as the same training: what differs is listed, what cannot be compared is said, and words are the same in
every process."""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
import json
import logging
import operator
import os
import pathlib
import random
import subprocess
import sys
import threading
from concurrent import futures

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

import gan_meta as gm
from gan_meta.checkpoint import load_tensors, save_tensors
from gan_meta.training.comparison import Comparison
from gan_meta.training.description import UNKNOWN, describe
from tests.conftest import SquaresObjective, small_batch, smooth_pair


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Options:
    rate: float
    parts: tuple = ()


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a):
        self.a = a


class Plain:
    def __init__(self, **attributes):
        vars(self).update(attributes)

    def method(self):
        return 1


def rated(rate):
    def function(batch):
        return {name: value * rate for name, value in batch.items()}

    return function


def defaulted(value=1, *, more=2):
    return value + more


def otherwise(value=1, *, more=3):
    return value + more


def linear(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(0.1))


PAIRS = {
    "tuple": ((1, 2), (1, 3)),
    "dict": ({"a": 1}, {"a": 2}),
    "more of a dict": ({"a": 1}, {"a": 1, "b": 0}),
    "keys that are no words": ({1: 2}, {2: 2}),
    "nested": ({"a": [{"b": (1, 2)}]}, {"a": [{"b": (1, 4)}]}),
    "None": (None, 0),
    "False and 0": (False, 0),
    "bytes": (b"ab", b"ac"),
    "complex": (1 + 2j, 1 + 3j),
    "NaN": (float("nan"), 1.0),
    "set": ({"x", "y", "z"}, {"x", "y"}),
    "long list": (list(range(1000)), [*range(999), 0]),
    "partial's option": (functools.partial(defaulted, more=1), functools.partial(defaulted, more=3)),
    "partial's argument": (functools.partial(defaulted, 1), functools.partial(defaulted, 2)),
    "partial's function": (functools.partial(defaulted), functools.partial(otherwise)),
    "partial in a partial": (
        functools.partial(functools.partial, functools.partial(defaulted, 1)),
        functools.partial(functools.partial, functools.partial(defaulted, 2)),
    ),
    "closure": (rated(0.5), rated(0.25)),
    "lambda": (lambda x: x * 2, lambda x: x * 3),
    "lambda's operation": (lambda x: x * 2, lambda x: x + 2),
    "defaults": (lambda x, y=1: x + y, lambda x, y=2: x + y),
    "method": (Plain(a=1).method, Plain(a=2).method),
    "getter": (operator.itemgetter("a"), operator.itemgetter("b")),
    "ufunc": (np.sin, np.cos),
    "class": (nn.ReLU, nn.SiLU),
    "dataclass": (Options(1.0, (1, 2)), Options(1.0, (1, 3))),
    "enum": (Colour.RED, Colour.BLUE),
    "path": (pathlib.Path("a"), pathlib.Path("b")),
    "numpy number": (np.float32(0.5), np.float32(0.25)),
    "array": (np.arange(3), np.array([0, 1, 3])),
    "array's type": (np.arange(3), np.arange(3.0)),
    "tensor": (torch.arange(3), torch.tensor([0, 1, 3])),
    "tensor's shape": (torch.zeros(2, 3), torch.zeros(3, 2)),
    "bfloat16": (torch.ones(2).bfloat16(), torch.zeros(2).bfloat16()),
    "number in a tensor": (torch.tensor(1e-3), torch.tensor(1e-4)),
    "dtype": (torch.float32, torch.bfloat16),
    "module's weights": (linear(0), linear(1)),
    "module's options": (nn.Sequential(nn.LeakyReLU(0.1)), nn.Sequential(nn.LeakyReLU(0.2))),
    "attributes": (Plain(a=Plain(b=[1])), Plain(a=Plain(b=[2]))),
    "slots": (Slotted(1), Slotted(2)),
    "function": (defaulted, otherwise),
}


@pytest.mark.parametrize("name", PAIRS)
def test_whatever_is_given_is_compared(name):
    one, other = PAIRS[name]
    told = json.loads(json.dumps(describe(one)))  # as a checkpoint keeps it
    assert Comparison({"x": told}, {"x": describe(one)}).differences == {}
    found = Comparison({"x": told}, {"x": describe(other)})
    assert list(found.differences) == ["x"]
    assert found.not_compared == []
    assert found.sentences()[0].startswith("x: ")


@pytest.mark.parametrize(
    "value",
    [
        *(random.Random(1), np.random.default_rng(1), torch.Generator(), iter([1]), threading.Lock(), (number for number in range(3))),
        *(logging.getLogger("a.b"), threading.Thread(), futures.ThreadPoolExecutor(1), Console(), Image.new("RGB", (2, 2))),
    ],
)
def test_what_cannot_be_compared_is_named(value):
    found = Comparison({"objective": describe(Plain(tool=value))}, {"objective": describe(Plain(tool=value))})
    assert found.differences == {}
    assert found.not_compared == [f"objective.tool ({type(value).__name__})"]


def test_descriptions_end():
    endless = Plain(a=1)
    endless.itself = [endless]
    assert describe(endless)["itself"] == ["(itself)"]
    deep = functools.reduce(lambda inner, _: [inner], range(100), 1)
    assert UNKNOWN in json.dumps(describe(deep))
    wide = Plain(**{f"a{i}": Plain(**{f"b{j}": Plain(c=1) for j in range(50)}) for i in range(200)})
    assert len(json.dumps(describe(wide))) < 10**6


def test_a_description_is_the_same_in_every_process(tmp_path):
    code = (
        "import json, sys\n"
        "from tests.training.test_settings import PAIRS\n"
        "from gan_meta.training.description import describe\n"
        "json.dump({name: [describe(value) for value in pair] for name, pair in PAIRS.items()}, open(sys.argv[1], 'w'))"
    )
    root = pathlib.Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "5", "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.json")], env=environment, check=True, timeout=120, cwd=root)
    there = json.loads((tmp_path / "x.json").read_text())
    assert there == json.loads(json.dumps({name: [describe(value) for value in pair] for name, pair in PAIRS.items()}))


BEFORE = "step = 1\ndef f(x, y=1):\n    return x.step + (lambda z: z + y)(2)\n"
AFTER = (
    "step = 2\n\n\n# A comment.\ndef f(x: int, y: int = 1) -> int:\n    'Says what it does.'\n\n    # Another.\n"
    "    return x.step + (lambda z: z + y)(2)\n"
)


def function_of(code):
    names = {}
    exec(compile(code, "there", "exec"), names)
    return names["f"]


def test_words_about_a_function_are_no_difference_and_neither_are_globals_of_an_attributes_name():
    assert describe(function_of(AFTER)) == describe(function_of(BEFORE))
    other = describe(function_of(AFTER.replace("z + y", "z - y")))
    assert list(Comparison({"f": describe(function_of(BEFORE))}, {"f": other}).differences) == ["f"]


def test_where_it_computes_and_which_python_compiled_it_are_no_differences():
    assert describe([torch.device("cuda:1"), "cuda:0"]) == describe([torch.device("cpu"), "cpu"])
    told = describe(rated(0.5))
    older = {**told, "code": told["code"].replace(told["code"].partition(":")[0], "3.9")}
    found = Comparison({"f": older}, {"f": told})
    assert found.differences == {}
    assert found.not_compared == [f"f.code (compiled by Python 3.9, here {told['code'].partition(':')[0]})"]


class Weighted(SquaresObjective):
    def __init__(self, **attributes):
        vars(self).update(attributes)


@gm.algorithms.register("test-settings-own")
class Own(gm.MetaAlgorithm):
    """Reptile with options of its own."""

    def __init__(self, *, pull=1.0, table=None, **options):
        super().__init__(**options)
        self.pull, self._table = pull, table

    def meta_gradient(self, pair, task, seed=0):
        phi, logs = self.play(pair, task.support, seed)
        return gm.MetaGradient(
            {n: self.pull * (a.detach() - b.detach()) for (n, a), b in zip(pair.named_parameters(), phi.parameters(), strict=True)}, logs
        )


def trainer(folder, *, objective=None, inner=None, algorithm=None, tasks=None, **options):
    game = gm.InnerLoop(**{"steps": 1, "lr": 1e-2, **(inner or {})})
    made = gm.algorithms.create("test-settings-own", objective=objective or SquaresObjective(), inner=game, **(algorithm or {}))
    source = tasks or gm.FewShotTasks([small_batch(10, seed) for seed in range(3)], shots=5)
    return gm.MetaTrainer(smooth_pair(), made, source, **{"iterations": 2, **options}, run_dir=folder, best_by=None, keep=1)


def half(batch):
    return {**batch, "pose": batch["pose"] / 2}


def third(batch):
    return {**batch, "pose": batch["pose"] / 3}


def few(*, subjects=3, shots=5, first=0, names=None):
    return gm.FewShotTasks([small_batch(10, first + seed) for seed in range(subjects)], shots=shots, names=names)


class OwnSource:
    def __init__(self, first):
        self.first = first

    def sample(self, seed):
        return gm.Task(small_batch(5, self.first + seed % 7), name="one")


class Reading:
    """Samples that are made when they are asked for."""

    def __init__(self, first):
        self.first = first

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return {name: tensor[0] for name, tensor in small_batch(1, self.first + index).items()}


CHANGES = {
    "objective's tuple": (
        {"objective": Weighted(weights=(1, 2))},
        {"objective": Weighted(weights=(1, 3))},
        "objective: {'weights': [1, 2]}",
    ),
    "objective's objects": (
        {"objective": Weighted(a=Options(1.0))},
        {"objective": Weighted(a=Options(2.0))},
        "objective: {'a': {'rate': 1.0}} there, {'a': {'rate': 2.0}} here",
    ),
    "objective's network": (
        {"objective": Weighted(net=linear(0))},
        {"objective": Weighted(net=linear(1))},
        "objective: {'net': {'weights'",
    ),
    "algorithm's option": (
        {"algorithm": {"pull": 1.0}},
        {"algorithm": {"pull": 0.5}},
        "algorithm_options: {'pull': 1.0} there, {'pull': 0.5}",
    ),
    "algorithm's table": (
        {"algorithm": {"table": {"a": 1}}},
        {"algorithm": {"table": {"a": 2}}},
        "algorithm_options: {'_table': {'a': 1}}",
    ),
    "outer partial": (
        {"meta_optimizer": functools.partial(torch.optim.SGD, momentum=0.9)},
        {"meta_optimizer": functools.partial(torch.optim.SGD, momentum=0.5)},
        "functions: {'meta_optimizer': {'options': {'momentum': 0.9}}}",
    ),
    "inner partial": (
        {"inner": {"optimizer": functools.partial(torch.optim.Adam, betas=(0.5, 0.9))}},
        {"inner": {"optimizer": functools.partial(torch.optim.Adam, betas=(0.5, 0.8))}},
        "functions: {'inner.optimizer': {'options': {'betas': [0.5, 0.9]}}}",
    ),
    "transform": ({"inner": {"augment": (half,)}}, {"inner": {"augment": (third,)}}, "half"),
    "transform's closure": ({"inner": {"augment": (rated(0.5),)}}, {"inner": {"augment": (rated(0.25),)}}, "'rate': 0.5"),
    "order of roles": (
        {"inner": {"roles": {"*": "meta", "generator.*": "local"}}},
        {"inner": {"roles": {"generator.*": "local", "*": "meta"}}},
        "inner.roles",
    ),
    "other subjects": ({"tasks": few()}, {"tasks": few(first=1)}, "tasks: "),
    "one more subject": ({"tasks": few()}, {"tasks": few(subjects=4)}, "'subjects': 3"),
    "other shots": ({"tasks": few()}, {"tasks": few(shots=4)}, "'shots': 5"),
    "one subject's content": (
        {"tasks": few(subjects=40)},
        {"tasks": gm.FewShotTasks([small_batch(10, seed if seed != 33 else 99) for seed in range(40)], shots=5)},
        "'content'",
    ),
    "a list of tasks": ({"tasks": [gm.Task(small_batch(5))]}, {"tasks": [gm.Task(small_batch(5, 1))]}, "tasks: "),
    "a source of one's own": ({"tasks": OwnSource(0)}, {"tasks": OwnSource(100)}, "tasks: {'first'"),
    "a dataset": (
        {"tasks": gm.FewShotTasks([Reading(0)], shots=5)},
        {"tasks": gm.FewShotTasks([Reading(50)], shots=5)},
        "tasks: {'first'",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_differs_is_listed_and_the_same_goes_on(tmp_path, name, caplog):
    before, after, words = CHANGES[name]
    trainer(tmp_path, **before).fit()
    with pytest.raises(gm.CheckpointError) as refused:
        trainer(tmp_path, **after).fit()
    assert words in str(refused.value)
    assert "use another run folder, or resume=False to start anew" in str(refused.value)
    trainer(tmp_path, **before).fit()
    assert "could not be compared" not in caplog.text
    trainer(tmp_path, **after).fit(resume=False)


def test_what_could_not_be_compared_is_said_at_resume(tmp_path, caplog):
    trainer(tmp_path, objective=Weighted(draws=random.Random(1))).fit()
    assert "compared" not in caplog.text
    trainer(tmp_path, objective=Weighted(draws=random.Random(2))).fit()
    assert caplog.text.count("could not be compared with it: objective.draws (Random); see to it yourself") == 1


class InThePairsType(SquaresObjective):
    def generator_loss(self, pair, batch):
        return super().generator_loss(pair, self.as_pair(pair, batch))

    def discriminator_loss(self, pair, batch):
        return super().discriminator_loss(pair, self.as_pair(pair, batch))

    def as_pair(self, pair, batch):
        return {name: tensor.to(next(pair.parameters()).dtype) for name, tensor in batch.items()}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_checkpoint_of_another_precision_is_refused_before_anything_changes(tmp_path, optimizer):
    def training(pair, iterations=2):
        algorithm = gm.algorithms.create("reptile", objective=InThePairsType(), inner=gm.InnerLoop(steps=1, lr=1e-2))
        options = {"meta_optimizer": optimizer, "run_dir": tmp_path, "best_by": None, "meta_lr": 1e-3}
        return gm.MetaTrainer(pair, algorithm, [gm.Task(small_batch(3))], iterations, **options)

    training(smooth_pair()).fit()
    pair = smooth_pair().float()
    before = {name: tensor.clone() for name, tensor in pair.state_dict().items()}
    with pytest.raises(gm.CheckpointError, match=r"is float64 in the file and float32 in the pair.*pair\.to\(torch\.float64\)"):
        training(pair).fit()
    assert all(torch.equal(tensor, before[name]) for name, tensor in pair.state_dict().items())
    training(pair.double()).fit()


class NeverTheSame:
    """A source with a generator of its own."""

    counter = itertools.count()

    def sample(self, seed):
        return gm.Task(small_batch(5, next(self.counter)), name="one")


def test_tasks_that_differ_at_each_reading_are_said_not_refused(tmp_path, caplog):
    trainer(tmp_path, tasks=NeverTheSame()).fit()
    trainer(tmp_path, tasks=NeverTheSame()).fit()
    assert "tasks (they differ each time that they are read)" in caplog.text


def as_written_before(path):
    """The document as versions before the settings were described wrote it."""
    tensors, document = load_tensors(path)
    settings = {
        name: value for name, value in document["settings"].items() if name not in ("algorithm_options", "functions", "tasks", "data")
    }
    if "objective" in settings:
        settings["objective"] = {name: value for name, value in settings["objective"].items() if not isinstance(value, list | dict)}
    if settings.get("meta_optimizer") == "SGD":
        settings["meta_optimizer"] = "functools.partial(<class 'torch.optim.sgd.SGD'>, momentum=0.9)"
    del document["settings_format"], document["threads"]
    for optimizer in [document["optimizer"]] if "optimizer" in document else document["optimizers"].values():
        del optimizer["with_state"]
    save_tensors(path, tensors, {**document, "settings": settings})


def test_checkpoints_of_earlier_versions_go_on_and_say_what_they_lack(tmp_path, caplog):
    options = {"objective": Weighted(weight=2.0, weights=(1, 2)), "meta_optimizer": functools.partial(torch.optim.SGD, momentum=0.9)}
    trainer(tmp_path, **options).fit()
    as_written_before(tmp_path / "meta-training.safetensors")
    trainer(tmp_path, **options).fit(resume=True)
    for name in ("objective.weights (not recorded)", "functions (not recorded)", "tasks (not recorded)", "meta_optimizer"):
        assert name in caplog.text
    with pytest.raises(gm.CheckpointError, match=r"objective: \{'weight': 2.0\} there, \{'weight': 3.0\} here"):
        trainer(tmp_path, **{**options, "objective": Weighted(weight=3.0, weights=(1, 2))}).fit()


def pretrained(folder, data, **options):
    return gm.pretrain(smooth_pair(), SquaresObjective(), data, steps=2, inner=gm.InnerLoop(lr=1e-2), run_dir=folder, **options)


def test_pretraining_compares_its_data(tmp_path, caplog):
    for number, (one, other) in enumerate([(small_batch(10), small_batch(10, 1)), (Reading(0), Reading(50))]):
        folder = tmp_path / str(number)
        folder.mkdir()
        pretrained(folder, one)
        pretrained(folder, one)
        with pytest.raises(gm.CheckpointError, match="is a checkpoint of other settings \\(data: "):
            pretrained(folder, other)
        as_written_before(folder / "pretraining.safetensors")
        pretrained(folder, one, resume=True)
        assert "data (not recorded)" in caplog.text


def test_numpy_settings_are_settings(tmp_path):
    one = trainer(tmp_path, meta_lr=np.float32(0.5), seed=np.int64(3), inner={"lr": np.float64(1e-2)})
    assert one.settings["meta_lr"] == 0.5
    assert one.settings["seed"] == 3
    assert json.dumps(one.settings)
