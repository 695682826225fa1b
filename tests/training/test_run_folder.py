"""Which checkpoints a training keeps, what they hold, and what a resumed training refuses or puts back."""

from __future__ import annotations

import time

import pytest
import torch

import gan_meta as gm
from gan_meta.checkpoint import load_tensors
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair
from tests.soak.memory import is_flat, watch


class WeightedObjective(SquaresObjective):
    def __init__(self, weight):
        self.weight = weight


def trainer(folder, pair=None, objective=None, iterations=5, inner=None, **options):
    algorithm = gm.algorithms.create(
        "reptile", objective=objective or SquaresObjective(), inner=gm.InnerLoop(**{"steps": 2, "lr": 1e-2, **(inner or {})})
    )
    tasks = gm.FewShotTasks([small_batch(10, seed) for seed in range(3)], shots=5)
    return gm.MetaTrainer(pair or smooth_pair(), algorithm, tasks, iterations, run_dir=folder, checkpoint_every=1, **options)


def iteration_of(path):
    return load_tensors(path)[1]["counters"]["iteration"]


@pytest.mark.parametrize("keep", [1, 3])
def test_the_last_few_are_kept_by_number(tmp_path, keep):
    trainer(tmp_path, keep=keep, best_by=None).fit()
    names = sorted(file.name for file in tmp_path.glob("*.safetensors"))
    numbered = [f"meta-training-{number:08d}.safetensors" for number in (3, 4, 5)] if keep == 3 else []
    assert names == [*numbered, "meta-training.safetensors"]
    assert [iteration_of(tmp_path / name) for name in numbered] == [3, 4, 5][: len(numbered)]
    assert iteration_of(tmp_path / "meta-training.safetensors") == 5


def test_the_best_is_the_one_of_the_lowest_score(tmp_path):
    scores = iter([3.0, 1.0, 2.0, 1.0, 5.0])
    trainer(tmp_path, best_by=lambda pair: next(scores)).fit()
    assert iteration_of(tmp_path / "meta-training-best.safetensors") == 2


def test_the_best_by_a_log_takes_the_mean_since_the_checkpoint_before(tmp_path):
    seen = []
    training = trainer(tmp_path, iterations=6, on_iteration=lambda _i, logs: seen.append(logs["G_L2"]), best_by="G_L2")
    training.checkpoint_every = 2
    training.fit()
    means = [(seen[number] + seen[number + 1]) / 2 for number in (0, 2, 4)]
    assert iteration_of(tmp_path / "meta-training-best.safetensors") == 2 * (means.index(min(means)) + 1)
    assert load_tensors(tmp_path / "meta-training.safetensors")[1]["counters"]["best"]["score"] == pytest.approx(min(means))


def test_starting_anew_forgets_the_numbers_of_the_run_before(tmp_path):
    trainer(tmp_path, iterations=5).fit()
    trainer(tmp_path, iterations=2).fit(resume=False)
    assert sorted(file.name for file in tmp_path.glob("*-0*.safetensors")) == [
        "meta-training-00000001.safetensors",
        "meta-training-00000002.safetensors",
    ]


def test_a_checkpoint_says_what_its_last_bits_depend_on(tmp_path):
    trainer(tmp_path).fit()
    document = load_tensors(tmp_path / "meta-training.safetensors")[1]
    assert document["versions"] == {"gan-meta": gm.__version__, "torch": torch.__version__}
    assert document["ranks"] == 1
    assert document["settings"]["seed"] == 0


def test_another_weight_in_the_objective_is_another_training(tmp_path):
    trainer(tmp_path, objective=WeightedObjective(3.0)).fit()
    with pytest.raises(gm.CheckpointError, match=r"objective: .*'weight': 3\.0.* there, .*'weight': 4\.0.* here"):
        trainer(tmp_path, objective=WeightedObjective(4.0)).fit()


def test_another_architecture_is_refused_in_words(tmp_path):
    trainer(tmp_path).fit()
    with pytest.raises(gm.CheckpointError, match="does not fit the pair"):
        trainer(tmp_path, pair=smooth_pair(norm=False)).fit()


def test_the_discriminator_that_games_start_from_is_the_checkpoints_not_the_new_processs(tmp_path):
    inner, pair = {"freeze_d": "reset"}, smooth_pair()
    anchor = parameters_of(pair)
    undisturbed = trainer(None, inner=inner).fit()

    def stop(iteration, _logs):
        if iteration == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trainer(tmp_path, pair=pair, inner=inner, on_iteration=stop).fit()
    resumed = trainer(tmp_path, pair=smooth_pair(seed=9), inner=inner).fit()
    for name, parameter in resumed.named_parameters():
        assert torch.equal(parameter, dict(undisturbed.named_parameters())[name])
        if name.startswith("discriminator."):
            assert torch.equal(parameter, anchor[name])


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    calm = trainer(tmp_path / "calm").fit()
    jumps = iter(range(10**6, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    shaken = trainer(tmp_path / "shaken").fit()
    assert all(torch.equal(a, b) for a, b in zip(calm.parameters(), shaken.parameters(), strict=True))


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    def poison(iteration, _logs):
        if iteration == 2:
            with torch.no_grad():
                next(training.pair.parameters()).fill_(float("inf"))

    training = trainer(tmp_path, on_iteration=poison, max_bad_tasks=99)
    with pytest.raises(gm.NonFiniteLossError, match="holds weights that are not finite after iteration 3"):
        training.fit()
    assert iteration_of(tmp_path / "meta-training.safetensors") == 2


def test_memory_and_open_files_stay_flat():
    assert is_flat(watch(60, 3))
    assert not is_flat([(number, 10.0 * number, 5) for number in range(20)])
    assert not is_flat([(number, 10.0, number) for number in range(20)])
