"""Laws of pairs: every ordered pair of K frames, none too close in a video, the nearest source for a query."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gan_meta as gm
from gan_meta.models.posewarp import FramePairs, PairTasks, frame_pairs, nearest_sources


def frames(count: int, start: int = 0) -> gm.Batch:
    """Frame n is grey n, its joints at n."""
    numbers = torch.arange(start, start + count, dtype=torch.float32)
    return {"image": numbers.view(-1, 1, 1, 1).expand(-1, 3, 2, 2), "joints": numbers.view(-1, 1, 1).expand(-1, 14, 2).clone()}


def numbers(batch: gm.Batch) -> list[tuple[int, int]]:
    """(source, target) of each sample, by grey and by joints."""
    by_grey = [(int(a), int(b)) for a, b in zip(batch["source"][:, 0, 0, 0], batch["image"][:, 0, 0, 0], strict=True)]
    by_joints = [(int(a), int(b)) for a, b in zip(batch["source_joints"][:, 0, 0], batch["target_joints"][:, 0, 0], strict=True)]
    assert by_grey == by_joints
    return by_grey


def test_k_frames_give_each_ordered_pair_once_with_the_targets_weight():
    weights = torch.arange(4.0).view(4, 1, 1, 1)
    pairs = frame_pairs({**frames(4), "weight": weights})
    found = numbers(pairs)
    assert sorted(found) == [(a, b) for a in range(4) for b in range(4) if a != b]
    assert pairs["weight"].flatten().tolist() == [float(target) for _, target in found]


def test_one_frame_is_refused_with_the_reason():
    for make in (lambda: frame_pairs(frames(1)), lambda: PairTasks([frames(3)], shots=1), lambda: FramePairs(frames(1))):
        with pytest.raises(ValueError, match=r"turning one frame of a person into another, so it needs at least 2 frames of each; got 1"):
            make()
    with pytest.raises(ValueError, match="need 'image' and 'joints', these have: image"):
        frame_pairs({"image": torch.zeros(2, 3, 2, 2)})


@given(st.integers(2, 300), st.integers(1, 4), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_joint_pairs_lie_further_apart_than_a_fiftieth_of_the_video(count, sources, seed):
    pairs = FramePairs(frames(count), sources, seed)
    assert len(pairs) == count * sources
    found = [pairs.pair(index) for index in range(len(pairs))]
    assert all(abs(source - target) > 0.02 * count and 0 <= source < count for source, target in found)
    assert [target for _, target in found] == [index // sources for index in range(len(pairs))]


def test_joint_pairs_are_drawn_once_and_reach_every_allowed_source():
    pairs = FramePairs(frames(100), sources=1200, seed=4)
    reached = {pairs.pair(index)[0] for index in range(50 * 1200, 51 * 1200)}
    assert reached == set(range(48)) | set(range(53, 100))
    index = [7, 70000, 7]
    assert numbers(pairs.batch(index)) == [pairs.pair(n) for n in index] == numbers(FramePairs(frames(100), 1200, 4).batch(index))


def test_a_task_is_the_pairs_of_its_shots_and_a_query_from_the_nearest_of_them():
    tasks = PairTasks([frames(30), frames(30, start=100)], shots=3, queries=4, names=["a", "b"])
    task = tasks.sample(5)
    plain = gm.FewShotTasks([frames(30), frames(30, start=100)], 3, 4, ["a", "b"]).sample(5)
    shots, rest = ([int(n) for n in samples["image"][:, 0, 0, 0]] for samples in (plain.support, plain.query))
    assert task.name == plain.name
    assert sorted(numbers(task.support)) == sorted((a, b) for a in shots for b in shots if a != b)
    assert [target for _, target in numbers(task.query)] == rest
    assert {source for source, _ in numbers(task.query)} <= set(shots)
    assert PairTasks([frames(5)], shots=2).sample(0).query is None


def test_the_nearest_pose_does_not_depend_on_the_place_and_needs_two_joints():
    draws = torch.Generator().manual_seed(0)
    sources = torch.rand(3, 14, 2, generator=draws) * 50
    targets = sources[[2, 0, 1]] + torch.tensor([40.0, -7.0]) + torch.rand(3, 14, 2, generator=draws)
    assert nearest_sources(sources, targets).tolist() == [2, 0, 1]
    targets[0, 1:] = float("nan")  # one joint left in common with all: the first is as good as any
    sources[0, 2:] = float("nan")
    targets[1, :1] = float("nan")  # one joint in common with source 0, thirteen with the others
    found = nearest_sources(sources, targets).tolist()
    assert (found[0], found[2]) == (0, 1)
    assert found[1] != 0
