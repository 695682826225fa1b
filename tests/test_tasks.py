"""Few-shot sampling: without replacement, reproducible, query apart from support."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import gan_meta as gm
from gan_meta.seeds import derive_seed
from gan_meta.tasks import take
from tests.conftest import SquaresObjective, smooth_pair


def subjects(n=4, samples=10):
    return [{"image": torch.arange(samples) + 100 * number} for number in range(n)]


def test_support_and_query_are_distinct_samples_of_one_subject():
    source = gm.FewShotTasks(subjects(), shots=3, queries=4)
    for seed in range(50):
        task = source.sample(seed)
        drawn = torch.cat([task.support["image"], task.query["image"]])
        assert len(set(drawn.tolist())) == 7
        assert set((drawn // 100).tolist()) == {int(task.name)}


def test_seeds_decide_and_all_subjects_and_samples_occur():
    source = gm.FewShotTasks(subjects(), shots=3)
    assert torch.equal(source.sample(5).support["image"], source.sample(5).support["image"])
    seen = torch.cat([source.sample(seed).support["image"] for seed in range(200)])
    assert len(seen.unique()) == 40


def test_bad_sources_are_refused():
    with pytest.raises(ValueError, match="subject '0' has 10 samples, fewer than"):
        gm.FewShotTasks(subjects(), shots=8, queries=3)
    with pytest.raises(ValueError, match="no subjects"):
        gm.FewShotTasks([], shots=1)
    with pytest.raises(TypeError, match="dicts of tensors"):
        take([torch.zeros(2)], [0])


class Endless(IterableDataset):
    def __iter__(self):
        yield {"image": torch.zeros(2)}

    def __len__(self):
        return 5


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (DataLoader([{"image": torch.zeros(2)}]), "give the loader's dataset"),
        (Endless(), r"len\(dataset\) and dataset\[index\]; got Endless"),
        ((item for item in []), "got generator"),
        ({1, 2}, "got set"),
    ],
)
def test_what_no_sample_can_be_taken_of_is_named(samples, words):
    with pytest.raises(TypeError, match=words):
        gm.FewShotTasks([samples], shots=1)
    with pytest.raises(TypeError, match=words):
        gm.adapt(smooth_pair(), SquaresObjective(), samples, gm.InnerLoop(steps=1))


def test_derived_seeds_are_pinned():
    # Recorded once: a change here would silently change every result of every user.
    assert derive_seed(0) == PINNED[0]
    assert derive_seed(0, "task", 3, 1) == PINNED[1]
    assert len({derive_seed(0, "a"), derive_seed(0, "b"), derive_seed(1, "a"), derive_seed(-1, "a"), derive_seed(0, 97)}) == 5


PINNED = (6569863346532939966, 507245658442329573)
