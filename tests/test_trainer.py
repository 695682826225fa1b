"""The outer step by hand, and resuming bit for bit."""

from __future__ import annotations

import pytest
import torch

import gan_meta as gm
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair


def reptile(**inner):
    return gm.algorithms.create("reptile", objective=SquaresObjective(), inner=gm.InnerLoop(**{"steps": 2, "lr": 1e-2, **inner}))


def tasks():
    return gm.FewShotTasks([small_batch(10, seed) for seed in range(3)], shots=5)


class Recording(gm.MetaAlgorithm):
    """Hands out numbered directions, to see what the trainer does with them."""

    def __init__(self):
        super().__init__(objective=SquaresObjective(), inner=gm.InnerLoop())
        self.calls = 0

    def meta_gradient(self, pair, task, seed=0):
        self.calls += 1
        return gm.MetaGradient({name: torch.full_like(p, self.calls) for name, p in pair.named_parameters()})


def test_outer_step_is_theta_minus_decaying_eps_times_mean_direction():
    pair = smooth_pair()
    before = parameters_of(pair)
    gm.MetaTrainer(pair, Recording(), [gm.Task({})], iterations=4, meta_lr=0.5, meta_batch_size=2).fit()
    # directions 1, 2 | 3, 4 | 5, 6 | 7, 8 with eps 0.5, 0.375, 0.25, 0.125
    moved = 0.5 * 1.5 + 0.375 * 3.5 + 0.25 * 5.5 + 0.125 * 7.5
    for name, parameter in pair.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] - moved, rtol=1e-12, atol=1e-12)


def test_eps_one_takes_theta_to_phi():
    pair, source = smooth_pair(), tasks()
    start = pair.clone()
    trainer = gm.MetaTrainer(pair, reptile(), source, iterations=1, seed=4)
    trainer.fit()
    from gan_meta.seeds import derive_seed

    seed = derive_seed(4, "task", 0, 0)
    phi = gm.adapt(start, SquaresObjective(), source.sample(seed).support, reptile().inner, seed=derive_seed(seed, "game"))
    for a, b in zip(pair.parameters(), phi.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-15)


@pytest.mark.parametrize("meta_optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_resume_is_bitwise(tmp_path, stop_at, meta_optimizer):
    options = {"iterations": 6, "meta_batch_size": 2, "meta_optimizer": meta_optimizer, "meta_lr": 0.3, "checkpoint_every": 1}
    undisturbed = gm.MetaTrainer(smooth_pair(), reptile(), tasks(), **options).fit()

    class Stop(Exception):
        pass

    def stop(iteration, logs):
        if iteration == stop_at:
            raise Stop

    with pytest.raises(Stop):
        gm.MetaTrainer(smooth_pair(), reptile(), tasks(), run_dir=tmp_path, on_iteration=stop, **options).fit()
    resumed = gm.MetaTrainer(smooth_pair(seed=99), reptile(), tasks(), run_dir=tmp_path, **options).fit(resume=True)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True))


def test_resume_refuses_other_settings_and_missing_checkpoints(tmp_path):
    with pytest.raises(FileNotFoundError, match="resume=True"):
        gm.MetaTrainer(smooth_pair(), reptile(), tasks(), iterations=1, run_dir=tmp_path).fit(resume=True)
    gm.MetaTrainer(smooth_pair(), reptile(), tasks(), iterations=2, run_dir=tmp_path).fit()
    with pytest.raises(gm.CheckpointError, match=r"iterations: 2 there, 3 here"):
        gm.MetaTrainer(smooth_pair(), reptile(), tasks(), iterations=3, run_dir=tmp_path).fit()
    gm.MetaTrainer(smooth_pair(), reptile(), tasks(), iterations=3, run_dir=tmp_path).fit(resume=False)


def test_pretraining_resumes_bitwise(tmp_path):
    data = small_batch(20)
    inner = gm.InnerLoop(lr=1e-2)
    undisturbed = gm.pretrain(smooth_pair(), SquaresObjective(), data, steps=7, inner=inner)

    class Stop(Exception):
        pass

    def stop(step, steps, losses):
        if step == 5:
            raise Stop

    with pytest.raises(Stop):
        gm.pretrain(smooth_pair(), SquaresObjective(), data, steps=7, inner=inner, run_dir=tmp_path, checkpoint_every=2, on_step=stop)
    resumed = gm.pretrain(smooth_pair(seed=9), SquaresObjective(), data, steps=7, inner=inner, run_dir=tmp_path, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True))


def test_pretraining_counts_epochs():
    seen = []
    gm.pretrain(
        smooth_pair(), SquaresObjective(), small_batch(20), epochs=2, on_step=lambda step, steps, losses: seen.append((step, steps))
    )
    assert seen == [(i, 5) for i in range(1, 6)]  # 2 * 20 / 8 iterations


def test_pretraining_learns():
    data, losses = small_batch(8), []
    inner = gm.InnerLoop(lr=1e-2)
    gm.pretrain(
        smooth_pair(), SquaresObjective(), data, steps=60, inner=inner, on_step=lambda i, n, parts: losses.append(float(parts["G_L2"]))
    )
    assert losses[-1] < 0.8 * losses[0]


class Poisoned:
    """Every task of an odd number has a value that is not a number."""

    def __init__(self, every):
        self.count, self.every = 0, every

    def sample(self, seed):
        self.count += 1
        batch = small_batch(5)
        if self.count % self.every == 0:
            batch["image"][0] = float("nan")
        return gm.Task(batch, name=f"number {self.count}")


def test_bad_tasks_are_skipped_counted_and_end_training_when_they_do_not_stop(caplog):
    pair = smooth_pair()
    trainer = gm.MetaTrainer(pair, reptile(), Poisoned(2), iterations=4)
    trainer.fit()
    assert trainer.skipped_tasks == 2
    assert "number 2" in caplog.text
    assert all(bool(torch.isfinite(p).all()) for p in pair.parameters())
    with pytest.raises(gm.NonFiniteLossError, match="3 tasks in a row"):
        gm.MetaTrainer(smooth_pair(), reptile(), Poisoned(1), iterations=9, max_bad_tasks=3).fit()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"meta_schedule": "linaer"}, "did you mean 'linear'"),
        ({"meta_optimizer": "sdg"}, "did you mean 'sgd'"),
        ({"meta_batch_size": 0}, "at least 1"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(ValueError, match=words):
        gm.MetaTrainer(smooth_pair(), reptile(), tasks(), **options)
