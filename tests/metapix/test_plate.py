"""The background plate on painted rooms: exact where seen, honest about cameras that move, whole whatever the masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.puppet.background import MARGINS, fill, person_pixels
from metapix.puppet.plate import background_plate

from tests.metapix.stick import SIZE, clip_of, pose, wall

COLUMNS = (12.0, 22.0, 32.0, 42.0, 52.0)


def pixels(plate_part: torch.Tensor) -> np.ndarray:
    return ((plate_part + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()


def still_clip(columns: tuple[float, ...] = COLUMNS) -> tuple[Clip, np.ndarray]:
    room = wall(0)
    return clip_of([room] * len(columns), [pose(x) for x in columns]), room


def test_a_still_room_is_recovered_exactly_wherever_it_was_seen() -> None:
    clip, room = still_clip()
    plate = background_plate(clip)
    hidden = person_pixels(clip, MARGINS[-1]).all(0)
    assert plate.kind == "static"
    assert plate.hole == hidden.mean() < 0.02
    away = ~person_pixels(clip).all(0)
    np.testing.assert_array_equal(pixels(plate.crop())[away], room[away])


def test_a_hole_of_the_wide_margin_is_filled_from_just_beside_the_person() -> None:
    room, low = wall(0, 128, 128), torch.tensor([0.0, 40.0, 0.0])  # large enough for the margins to differ
    clip = clip_of([room] * 2, [pose(60.0) + low, pose(63.0) + low])
    wide, narrow = (person_pixels(clip, margin).all(0) for margin in MARGINS)
    beside = wide & ~narrow
    assert beside.sum() > 50
    picture = pixels(background_plate(clip).crop())
    assert np.abs(picture.astype(int) - room)[beside].mean() < 0.5 * np.abs(fill(room, wide).astype(int) - room)[beside].mean()


def test_what_no_frame_shows_is_painted_in_from_around_it() -> None:
    grey = np.full((SIZE, SIZE, 3), 90, np.uint8)
    plate = background_plate(clip_of([grey] * 3, [pose()] * 3))
    assert plate.hole > 0.05
    assert int(np.abs(pixels(plate.crop()).astype(int) - 90).max()) <= 1


def test_someone_else_in_one_of_five_frames_leaves_no_trace() -> None:
    clip, room = still_clip()
    frames = clip.frames.clone()
    frames[2, :, 40:, :14] = 0  # a passer-by without a mask
    passed = Clip(clip.name, frames, clip.joints, clip.fps, clip.masks)
    corner = pixels(background_plate(passed).crop())[40:, :14]
    assert (corner == room[40:, :14]).mean() > 0.98  # but where two of the five frames are missing and one is wrong


def test_the_plate_of_a_following_crop_lies_in_the_cameras_coordinates() -> None:
    room, lefts = wall(1, 80, 140), (0, 18, 36, 54, 72)
    crops = [room[8 : 8 + SIZE, left : left + SIZE] for left in lefts]
    boxes = torch.tensor([[left, 8.0, SIZE] for left in lefts])
    clip = clip_of(crops, [pose(x) for x in (20.0, 40.0, 30.0, 25.0, 45.0)], boxes)
    plate = background_plate(clip)
    assert (plate.kind, tuple(plate.images.shape)) == ("static", (1, 3, SIZE, 72 + SIZE))
    between = pixels(plate.crop(torch.tensor([47.0, 8.0, SIZE]), SIZE))
    assert (np.abs(between.astype(int) - room[8 : 8 + SIZE, 47 : 47 + SIZE]).max(-1) <= 1).mean() > 0.97
    both = plate.crops(boxes[[1, 3]], SIZE)
    torch.testing.assert_close(both[1], plate.crop(boxes[3], SIZE), rtol=0, atol=1e-5)


def test_crops_of_different_sizes_meet_in_one_plate() -> None:
    room = wall(2, 96, 96)
    large = cv2.resize(room, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    boxes = torch.tensor([[0.0, 0.0, 96.0], [16.0, 16.0, 64.0]])
    plate = background_plate(clip_of([large, room[16:80, 16:80]], [pose(12.0), pose(50.0)], boxes))
    part = pixels(plate.crop(boxes[1], SIZE)).astype(int)
    assert plate.kind == "static"
    assert np.abs(part - room[16:80, 16:80]).mean() < 6


def moving_clip(shift: int) -> tuple[Clip, np.ndarray]:
    room = wall(3, 128, 160)
    crops = [room[:128, shift * k : shift * k + 128] for k in range(5)]
    poses = [pose(x) * torch.tensor([1.0, 1.0, 1.0]) + torch.tensor([0.0, 40.0, 0.0]) for x in (30.0, 45.0, 60.0, 75.0, 90.0)]
    return clip_of(crops, poses), room


def test_a_camera_that_moves_is_noticed_and_its_frames_are_aligned() -> None:
    clip, room = moving_clip(6)
    plate = background_plate(clip)
    middle = pixels(plate.crop(None, 128)).astype(int)
    assert plate.kind == "aligned"
    assert plate.images.shape[-1] > 140  # wider than one frame: it holds what the others show
    assert np.abs(middle - room[:128, 12:140]).mean() < 3
    assert np.abs(middle - room[:128, 0:128]).mean() > 15  # the measure can tell a shift


def test_frames_of_different_rooms_keep_their_own_backgrounds(caplog: pytest.LogCaptureFixture) -> None:
    rooms = [wall(seed) for seed in (4, 5, 6)]
    clip = clip_of(rooms, [pose(20.0), pose(32.0), pose(44.0)])
    plate = background_plate(clip)
    assert plate.kind == "nearest"
    assert "cannot be aligned" in caplog.text
    hidden = person_pixels(clip)
    for index, room in enumerate(rooms):
        np.testing.assert_array_equal(pixels(plate.crop(frame=index))[~hidden[index]], room[~hidden[index]])
    order = torch.tensor([2, 0])
    torch.testing.assert_close(plate.crops(None, SIZE, order)[1], plate.crop(frame=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", [0, 255])
def test_masks_without_anybody_or_of_nothing_else_give_a_whole_picture(level: int) -> None:
    clip, _ = still_clip()
    plate = background_plate(Clip("c", clip.frames, clip.joints, masks=torch.full_like(clip.frames[:, :1], level)))
    assert bool(plate.images.isfinite().all())
    assert plate.hole == (1.0 if level else 0.0)
    if level == 0:
        median = np.median(clip.frames.permute(0, 2, 3, 1).numpy(), axis=0).astype(np.uint8)
        np.testing.assert_array_equal(pixels(plate.crop()), median)


def test_without_masks_the_joints_say_where_the_person_is() -> None:
    clip, room = still_clip()
    plate = background_plate(Clip("c", clip.frames, clip.joints))
    assert (np.abs(pixels(plate.crop()).astype(int) - room).max(-1) < 8).mean() > 0.95


def test_one_frame_is_enough_and_none_is_refused() -> None:
    clip, _ = still_clip()
    assert background_plate(clip.select([2])).kind == "static"
    with pytest.raises(InputError, match="no frames"):
        background_plate(clip.select(slice(0)))


def test_frames_outside_the_selection_reach_nothing() -> None:
    clip, _ = still_clip()
    frames, masks = clip.frames.clone(), torch.zeros_like(clip.frames[:, :1])
    frames[[1, 3]] = 255 - frames[[1, 3]]
    assert clip.masks is not None
    masks[[0, 2, 4]] = clip.masks[[0, 2, 4]]
    other = Clip(clip.name, frames, clip.joints, clip.fps, masks)
    assert torch.equal(background_plate(clip.select([0, 2, 4])).images, background_plate(other.select([0, 2, 4])).images)


def test_filling_leaves_the_rest_alone() -> None:
    room, hole = wall(7), np.zeros((SIZE, SIZE), bool)
    hole[20:30, 20:30] = True
    filled = fill(room, hole)
    np.testing.assert_array_equal(filled[~hole], room[~hole])
    assert (filled[hole] != room[hole]).any()
