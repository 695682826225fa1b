"""The released MetaPix data, read as it is: list files, pictures, and label maps of 18 classes.

::

    train_3_img.txt      one path a line, relative to the folder:  train_3_img/img_00000042.png
    train_3_label.txt    the label maps of the same frames:        train_3_label/label_00000042.png
    test_3_img.txt, test_3_label.txt

In a training folder ``train_*`` are whole videos; in a test folder they are the K frames to personalise with, and ``test_*``
the frames to be scored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gan_meta import Batch
from metapix.data.limits import BROKEN_PICTURE, open_picture
from metapix.data.pictures import read_picture
from metapix.errors import InputError
from metapix.files import read_limited
from metapix.poses.pose_input import to_unit
from metapix.poses.pose_labels import N_CLASSES, one_hot

ROLES = ("train", "test")
_LIST = re.compile(r"(train|test)_(\w+)_img\.txt")


def is_released_folder(folder: Path) -> bool:
    """Whether a folder holds list files."""
    return folder.is_dir() and any(_LIST.fullmatch(path.name) for path in folder.iterdir())


@dataclass(frozen=True)
class ReleasedVideo:
    """The frames of one list, as samples ``{"pose": (18, S, S) one-hot, "image": (3, S, S) in [-1, 1]}``, read when asked for.

    Attributes:
        name: the list's, for example ``"train_3"``.
        images, labels: the files, in order.
        size: side of the samples in pixels.
    """

    name: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    size: int

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples at these indices.

        Raises:
            InputError: a file is missing, damaged, or holds a class above 17.
        """
        labels = torch.stack([self._labels(self.labels[index]) for index in indices])
        return {"pose": one_hot(labels), "image": to_unit(torch.stack([self._image(self.images[index]) for index in indices]))}

    def _image(self, file: Path) -> Tensor:
        _check_present(file)
        picture = Image.fromarray(read_picture(file))
        if picture.size != (self.size, self.size):
            picture = picture.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)

    def _labels(self, file: Path) -> Tensor:
        _check_present(file)
        try:
            with open_picture(file, ("PNG",)) as picture:
                if picture.mode not in ("L", "P"):
                    raise InputError(f"{file} is no label map: one class in 8 bits a pixel is needed, it has the mode {picture.mode}")
                ImageOps.exif_transpose(picture, in_place=True)
                labels = np.array(picture.resize((self.size, self.size), Image.Resampling.NEAREST))
        except InputError:
            raise
        except BROKEN_PICTURE as error:
            raise InputError(f"{file} cannot be read as a label map, a PNG picture ({error})") from error
        if labels.max() >= N_CLASSES:
            raise InputError(f"{file} has class {labels.max()}; the released label maps go from 0 to {N_CLASSES - 1}")
        return torch.from_numpy(labels)


def read_released(folder: Path, role: str, size: int) -> list[ReleasedVideo]:
    """The videos of a folder's list files; the lists are checked, the pictures not yet opened.

    Args:
        role: ``"train"`` or ``"test"``.

    Raises:
        InputError: no list of this role, a list without its label list or of another length, or a path that leaves the folder.
    """
    lists = [(match.group(2), path) for path in folder.iterdir() if (match := _LIST.fullmatch(path.name)) and match.group(1) == role]
    if not lists:
        raise InputError(f"{folder} has no list {role}_1_img.txt; the released layout has one for each video")
    videos = []
    for number, path in sorted(lists, key=lambda entry: (len(entry[0]), entry[0])):
        name = f"{role}_{number}"
        images, labels = _read_list(folder, path), _read_list(folder, folder / f"{name}_label.txt")
        if len(images) != len(labels):
            raise InputError(
                f"{path} names {len(images)} pictures and {name}_label.txt {len(labels)} label maps; they must be the same frames"
            )
        videos.append(ReleasedVideo(name, images, labels, size))
    return videos


def _read_list(folder: Path, path: Path) -> tuple[Path, ...]:
    if not path.is_file():
        raise InputError(f"the list {path} is missing; each list of pictures has one of label maps beside it")
    try:
        lines = [line.strip() for line in read_limited(path).decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file of one path a line") from error
    if not lines:
        raise InputError(f"{path} names no file")
    return tuple(sorted(_inside(folder, lines, path)))


def _inside(folder: Path, lines: Iterable[str], path: Path) -> Iterable[Path]:
    root = folder.resolve()
    for line in lines:
        try:
            file = (root / line.replace("\\", "/")).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a zero byte; links that go in a circle
            raise InputError(f"{path} names {line!r}, which can be no file ({error})") from error
        if not file.is_relative_to(root):
            raise InputError(f"{path} names {line!r}, which lies outside {folder}; only files inside it are read")
        yield file


def _check_present(file: Path) -> None:
    try:
        is_there = file.is_file()
    except OSError:  # a name too long for any file
        is_there = False
    if not is_there:
        raise InputError(f"{f'{file}':.200} is in a list, but not there")
