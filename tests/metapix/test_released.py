"""The released layout, made small: lists, pictures and label maps are read as they are, and nothing outside the folder is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from metapix.data.released import is_released_folder, read_released
from metapix.errors import InputError
from PIL import Image


def released(folder: Path, role: str = "train", videos: int = 2, frames: int = 4, size: int = 16) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for video in range(1, videos + 1):
        for kind in ("img", "label"):
            name = f"{role}_{video}_{kind}"
            (folder / name).mkdir()
            lines = []
            for frame in range(frames):
                line = f"{name}/{kind}_{frame * 7 + video:08d}.png"
                shape, top = ((size, size, 3), 256) if kind == "img" else ((size, size), 18)
                Image.fromarray(rng.integers(0, top, shape, dtype=np.uint8)).save(folder / line)
                lines.append(line)
            (folder / f"{name}.txt").write_text("\n".join(reversed(lines)) + "\n")
    return folder


def test_samples_are_the_files(tmp_path: Path) -> None:
    folder = released(tmp_path / "data")
    first, second = read_released(folder, "train", 16)
    assert (first.name, second.name, len(first)) == ("train_1", "train_2", 4)
    batch = second.batch([3, 0])
    image = np.asarray(Image.open(folder / "train_2_img" / "img_00000023.png"))
    label = np.asarray(Image.open(folder / "train_2_label" / "label_00000023.png"))
    assert torch.equal(((batch["image"][0] + 1) * 127.5).round().byte(), torch.from_numpy(image.copy()).permute(2, 0, 1))
    assert batch["pose"].shape == (2, 18, 16, 16)
    assert torch.equal(batch["pose"][0].argmax(0).byte(), torch.from_numpy(label.copy()))
    assert read_released(folder, "train", 8)[0].batch([0])["image"].shape == (1, 3, 8, 8)
    assert is_released_folder(folder)
    assert not is_released_folder(tmp_path)


def test_lists_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = released(tmp_path / "data", "test", videos=11, frames=1)
    assert [video.name for video in read_released(folder, "test", 16)] == [f"test_{number}" for number in range(1, 12)]
    with pytest.raises(InputError, match="no list train_1_img"):
        read_released(folder, "train", 16)


@pytest.mark.parametrize("line", ["../secret.png", "/etc/hostname", "train_1_img/../../secret.png", "..\\secret.png"])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, line: str) -> None:
    folder = released(tmp_path / "data", videos=1)
    (tmp_path / "secret.png").write_bytes(b"x")
    path = folder / "train_1_img.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match="lies outside"):
        read_released(folder, "train", 16)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    folder = released(tmp_path / "data", videos=1)
    (tmp_path / "secret.png").write_bytes(b"x")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "train_1_img.txt").write_text("link.png\n" * 4)
    with pytest.raises(InputError, match="lies outside"):
        read_released(folder, "train", 16)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    folder = released(tmp_path / "data", videos=1)
    labels = folder / "train_1_label.txt"
    kept = labels.read_text()
    labels.write_text(kept.splitlines()[0] + "\n")
    with pytest.raises(InputError, match=r"names 4 pictures and train_1_label\.txt 1 label maps"):
        read_released(folder, "train", 16)
    labels.unlink()
    with pytest.raises(InputError, match="is missing"):
        read_released(folder, "train", 16)
    labels.write_text(kept)
    (video,) = read_released(folder, "train", 16)
    Image.new("RGB", (16, 16)).save(video.labels[0])
    with pytest.raises(InputError, match="is no label map"):
        video.batch([0])
    Image.fromarray(np.full((16, 16), 40, np.uint8)).save(video.labels[1])
    with pytest.raises(InputError, match="has class 40"):
        video.batch([1])
    video.images[2].unlink()
    with pytest.raises(InputError, match="is in a list, but not there"):
        video.batch([2])
