"""Several people in view: both are found, the main one is chosen and followed."""

from __future__ import annotations

import numpy as np
import pytest
from metapix.data.bundled import bundled_videos
from metapix.data.main_person import MainPersonEstimator, body_size, choose_person, distance, find_people, paint_over
from metapix.data.pose import Detection, MediapipeEstimator
from metapix.data.video import read_video
from numpy.typing import NDArray


def person(x: float, height: float = 100.0) -> NDArray[np.float32]:
    joints = np.ones((18, 3), np.float32)
    joints[:, 0], joints[:, 1] = x, np.linspace(0, height, 18)
    return joints


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    return [frame.image for frame in read_video(bundled_videos()["multi-cam04"], max_frames=4, every=6)]


def test_both_people_of_a_real_picture_are_found(frames: list[NDArray[np.uint8]]) -> None:
    with MediapipeEstimator(tracking=False) as finder:
        people = find_people(finder, frames[0])
    assert len(people) == 2
    left, right = sorted(people, key=lambda one: one.joints[:, 0].mean())
    assert distance(left.joints, right.joints) > 0.3
    assert body_size(left.joints) > 1.5 * body_size(right.joints)


def test_the_larger_person_is_followed_though_the_other_is_found_first(frames: list[NDArray[np.uint8]]) -> None:
    with MediapipeEstimator() as plain:
        first = plain.estimate(frames[0])
    with MainPersonEstimator(masks=False) as estimator:
        followed = [estimator.estimate(frame) for frame in frames]
    assert first is not None
    sizes = [0.0 if one is None else body_size(one.joints) for one in followed]
    assert min(sizes) > 1.4 * body_size(first.joints)
    assert all(one is not None and one.mask is None for one in followed)


def test_the_smaller_person_is_followed_where_that_is_asked_for(frames: list[NDArray[np.uint8]]) -> None:
    with MainPersonEstimator(masks=False) as largest, MainPersonEstimator(masks=False, rank=1) as second:
        pairs = [(largest.estimate(frame), second.estimate(frame)) for frame in frames]
    assert all(a is not None and b is not None and body_size(a.joints) > 1.4 * body_size(b.joints) for a, b in pairs)


def test_a_picture_of_one_person_is_of_that_person() -> None:
    image = next(read_video(bundled_videos()["single-cam03"], max_frames=1)).image
    with MainPersonEstimator() as estimator, MediapipeEstimator() as plain:
        found, expected = estimator.estimate(image), plain.estimate(image)
    assert found is not None
    assert expected is not None
    assert distance(found.joints, expected.joints) < 0.05


def test_who_is_chosen() -> None:
    near, far, large = person(50), person(300), person(600, 200)
    assert choose_person([near, large, far], None) == 1, "the largest at first"
    assert choose_person([large, far, near], person(55)) == 2, "then the nearest"
    assert choose_person([far], person(55)) is None, "a jump is somebody else"
    assert choose_person([person(140)], person(55)) is None
    assert choose_person([person(140)], person(55), unseen=5) == 0, "who was away for a while may have moved"
    assert choose_person([far], person(55), unseen=31) == 0, "whoever is there in the end"
    assert choose_person([], None) is None
    sizes = [person(0, height) for height in (80.0, 120.0, 100.0)]
    assert [choose_person(sizes, None, rank=rank) for rank in range(4)] == [1, 2, 0, 0], "by size; the smallest where there are fewer"
    assert choose_person(sizes, person(2, 80.0), rank=2) is not None, "once found, whoever is nearest"


def test_painting_over_hides_the_person_only() -> None:
    frame = np.full((80, 80, 3), 100, np.uint8)
    frame[20:60, 30:50] = 250
    mask = np.zeros((80, 80), np.uint8)
    mask[20:60, 30:50] = 255
    painted = paint_over(frame, [Detection(person(40, 40), mask)])
    assert np.abs(painted[22:58, 32:48].astype(float) - frame.mean((0, 1))).max() <= 1
    assert (painted[:8] == 100).all()
    assert (paint_over(frame, []) == frame).all()
