"""Pictures as a clip: real photographs, upright as the camera says, and every way a folder of pictures can be bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from metapix.data.bundled import bundled_videos
from metapix.data.clip import Clip
from metapix.data.pictures import clip_of_pictures, read_picture
from metapix.data.video import read_video
from metapix.errors import InputError
from metapix.performer import Performer
from metapix.poses.skeleton import INDEX
from metapix.production import open_clip
from PIL import Image

ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of one person from a standing and a lying camera, one of nobody, and what is no picture."""
    folder = tmp_path_factory.mktemp("photos")
    first, second = (Image.fromarray(frame.image) for frame in read_video(bundled_videos()["single-cam03"], max_frames=2, every=60))
    first.save(folder / "1.jpg", quality=95)
    turned = Image.Exif()
    turned[ORIENTATION] = 6  # turn it clockwise to see it upright
    second.transpose(Image.Transpose.ROTATE_90).save(folder / "2.JPG", quality=95, exif=turned)
    Image.new("RGB", (300, 200), (90, 120, 90)).save(folder / "meadow.png")
    (folder / "notes.txt").write_text("hello")
    (folder / ".hidden.png").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module")
def clip(photos: Path) -> Clip:
    return clip_of_pictures(photos, 96)


def test_the_person_of_each_picture_is_found_and_upright(clip: Clip) -> None:
    assert (len(clip), clip.size, clip.kind, clip.boxes) == (2, 96, "real", None)
    assert clip.masks is not None
    trunk = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip", "knee")]
    for joints, mask in zip(clip.joints, clip.masks, strict=True):
        inside = [int(mask[0, round(y), round(x)]) > 127 for x, y, _ in joints[trunk].tolist()]
        assert sum(inside) >= 5
        assert joints[INDEX["nose"], 1] < joints[INDEX["left_hip"], 1] < joints[INDEX["left_ankle"], 1]


def test_a_folder_of_pictures_is_a_clip_wherever_one_is_taken(clip: Clip, photos: Path, tmp_path: Path) -> None:
    one = open_clip(photos, 96, tmp_path, choose=lambda count: [count - 1])
    assert len(one) == 1
    assert torch.equal(one.frames[0], clip.frames[1])
    (drawn,) = Performer(one).perform(clip.joints[1:])
    error = (drawn[0] - (one.frames[0].float() / 127.5 - 1)).abs().mean()
    assert float(error) < 0.1, "the puppet of one picture, in that picture's pose, is that picture"
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 0 pictures; give a folder of 1 to 50"):
        clip_of_pictures(tmp_path, 64)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(InputError, match="No person was found in the 1 pictures"):
        clip_of_pictures(tmp_path, 64)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "black.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"cut\.jpg cannot be read as a picture"):
        clip_of_pictures(tmp_path, 64)
    for number in range(51):
        (tmp_path / f"{number}.png").write_bytes(b"x")
    with pytest.raises(InputError, match="holds 53 pictures"):
        clip_of_pictures(tmp_path, 64)


def test_greys_palettes_and_transparency_become_colours(tmp_path: Path) -> None:
    for mode in ("L", "P", "RGBA", "1"):
        Image.new(mode, (5, 4), 1).save(tmp_path / "a.png")
        assert read_picture(tmp_path / "a.png").shape == (4, 5, 3)
