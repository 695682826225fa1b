"""The best checkpoint: what it is chosen by, where its score stands, and that it is loaded as any pair is."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import gan_meta as gm
from gan_meta.checkpoint import load_tensors, save_tensors
from gan_meta.cli import app
from gan_meta.models.dcgan import DCGANObjective
from gan_meta.training.run_status import run_status
from tests.conftest import SquaresObjective, small_batch, smooth_pair


def train(folder, pair=None, iterations=4, algorithm=None, **options):
    """A short training with a checkpoint at every second iteration; returns the trainer."""
    inner = gm.InnerLoop(steps=1, lr=1e-2)
    if pair is None:
        pair, objective, tasks = smooth_pair(), SquaresObjective(), gm.FewShotTasks([small_batch(8)], shots=3)
    else:
        generator = torch.Generator().manual_seed(0)
        pictures = torch.rand(6, 3, 16, 16, generator=generator, dtype=next(pair.parameters()).dtype)
        objective, tasks = DCGANObjective(), gm.sources.from_tensors([pictures], shots=3)
    algorithm = algorithm or gm.algorithms.create("reptile", objective=objective, inner=inner)
    trainer = gm.MetaTrainer(pair, algorithm, tasks, iterations, run_dir=folder, checkpoint_every=2, logs=("jsonl", "csv"), **options)
    trainer.fit()
    return trainer


def dcgan(dtype=torch.float32):
    torch.manual_seed(0)
    return gm.models.create("dcgan", base_channels=4, discriminator_channels=4, size=16).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_checkpoint_of_a_training_loads_as_a_pair(tmp_path, dtype):
    trainer = train(tmp_path, dcgan(dtype))
    gm.pretrain(dcgan(), DCGANObjective(), {"image": torch.rand(4, 3, 16, 16)}, steps=2, run_dir=tmp_path / "joint")
    files = [*tmp_path.glob("*.safetensors"), *(tmp_path / "joint").glob("*.safetensors")]
    assert len(files) == 6
    for file in files:
        pair = gm.load_pair(file)
        assert pair.model_arguments == trainer.pair.model_arguments
    newest = gm.load_pair(tmp_path / "meta-training.safetensors")
    for name, tensor in trainer.pair.state_dict().items():
        assert torch.equal(tensor, newest.state_dict()[name])
        assert tensor.dtype == newest.state_dict()[name].dtype


def test_a_pair_made_by_hand_is_loaded_into_its_like(tmp_path):
    trainer = train(tmp_path)
    best = tmp_path / "meta-training-best.safetensors"
    with pytest.raises(gm.CheckpointError, match="made by hand; build that pair and pass it as into="):
        gm.load_pair(best)
    loaded = gm.load_pair(tmp_path / "meta-training.safetensors", into=smooth_pair(5))
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), trainer.pair.parameters(), strict=True))


def test_a_checkpoint_of_an_earlier_version_says_what_to_do(tmp_path):
    train(tmp_path, dcgan())
    tensors, document = load_tensors(tmp_path / "meta-training.safetensors")
    earlier = {name: value for name, value in document.items() if name not in ("model", "arguments")}
    save_tensors(tmp_path / "earlier.safetensors", tensors, earlier)
    with pytest.raises(gm.CheckpointError, match="of an earlier version, which does not say what model it holds"):
        gm.load_pair(tmp_path / "earlier.safetensors")
    assert gm.load_pair(tmp_path / "earlier.safetensors", into=dcgan()).model_name == "dcgan"


@pytest.mark.parametrize(("name", "nearest"), [("generater", "generator"), ("G_L3", "G_L2"), ("direction", "direction_norm"), ("x", None)])
def test_a_log_that_there_is_not_is_said_at_once(tmp_path, name, nearest):
    hint = f"did you mean '{nearest}'" if nearest else "known: G_GAN, G_L2"
    with pytest.raises(ValueError, match=f"best_by: unknown log '{name}': {hint}"):
        train(tmp_path, best_by=name)
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("name", ["G_L2", "direction_norm", "discriminator"])
def test_the_score_stands_in_document_log_and_status(tmp_path, name):
    train(tmp_path, best_by=name)
    lines = [json.loads(line) for line in (tmp_path / "meta-training.jsonl").read_text().splitlines()]
    means = [(lines[start][name] + lines[start + 1][name]) / 2 for start in (0, 2)]
    best = load_tensors(tmp_path / "meta-training-best.safetensors")[1]["counters"]["best"]
    assert best["by"] == name
    assert best["score"] == pytest.approx(min(means), rel=1e-12)
    assert best["iteration"] == 2 * (1 + means.index(min(means)))
    assert [line["best_score"] for line in lines] == [None, pytest.approx(means[0]), pytest.approx(means[0]), pytest.approx(min(means))]
    with (tmp_path / "meta-training.csv").open() as file:
        assert float(list(csv.DictReader(file))[-1]["best_score"]) == pytest.approx(min(means))
    assert run_status(tmp_path)["best checkpoint"] == f"{name} {min(means):.4g}, at iteration {best['iteration']}"
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "meta-training-best.safetensors")])
    assert f'"by": "{name}"' in shown.output


@pytest.mark.parametrize("values", [[math.nan, 3.0], [math.inf, 2.0], [-math.inf, 4.0]])
def test_a_score_that_is_no_number_is_said_and_is_not_the_best(tmp_path, caplog, values):
    scores = iter(values)

    def held_out(_pair):
        return torch.tensor(next(scores))

    train(tmp_path, best_by=held_out)
    assert "at iteration 2, so this checkpoint is none to compare by" in caplog.text
    best = load_tensors(tmp_path / "meta-training-best.safetensors")[1]["counters"]["best"]
    assert (best["score"], best["iteration"]) == (values[1], 4)
    assert best["by"].endswith("held_out")


@pytest.mark.parametrize("score", [None, "low", 1j, torch.ones(2), [1.0]])
def test_a_score_that_is_no_one_number_is_refused(tmp_path, score):
    with pytest.raises(TypeError, match=r"best_by: .*<lambda> returned .*; it must return one real number"):
        train(tmp_path, best_by=lambda _pair: score)


@pytest.mark.parametrize("score", [2, torch.tensor(2.0), torch.ones(1, requires_grad=True) * 2, np.float32(2.0)])
def test_a_score_may_be_any_one_number(tmp_path, score):
    assert train(tmp_path, best_by=lambda _pair: score)._best.score == 2


def test_scores_of_another_kind_are_not_compared_with(tmp_path, caplog):
    train(tmp_path, best_by=lambda _pair: -5.0)
    path = tmp_path / "meta-training.safetensors"
    tensors, document = load_tensors(path)
    document["counters"]["iteration"] = 2
    save_tensors(path, tensors, document)
    assert train(tmp_path, best_by="generator")._best.score > 0
    assert "best_by was" in caplog.text
    caplog.clear()
    train(tmp_path, best_by="generator")
    assert "best_by was" not in caplog.text


def test_a_score_that_draws_is_the_same_in_a_resumed_run_and_leaves_no_trace(tmp_path):
    pair, seen = dcgan(), []
    before = torch.get_rng_state()

    def noisy(_pair):
        seen.append(float(torch.rand(())))
        return seen[-1]

    train(tmp_path, pair, best_by=noisy)
    assert seen[0] == seen[1]
    assert torch.equal(before, torch.get_rng_state())


def test_best_by_is_a_name_or_a_function():
    with pytest.raises(TypeError, match="the name of a log, a function of the pair, or None; got 3"):
        train(None, best_by=3)


def test_an_algorithm_without_logs_trains_without_a_best_checkpoint(tmp_path):
    class Quiet(gm.MetaAlgorithm):
        def meta_gradient(self, pair, task, seed=0):
            return gm.MetaGradient({name: torch.zeros_like(parameter) for name, parameter in pair.named_parameters()})

    train(tmp_path, algorithm=Quiet(objective=SquaresObjective(), inner=gm.InnerLoop(steps=1)))
    assert not (tmp_path / "meta-training-best.safetensors").exists()
