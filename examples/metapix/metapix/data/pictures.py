"""Pictures as a clip: a folder of 1 to 50 photographs of one person, each cut out around that person."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gan_meta.image_files import FORMATS, SUFFIXES
from gan_meta.image_pixels import upright_rgb
from metapix.data.clip import Clip
from metapix.data.crop import camera_to_crop, crop_picture, plan_boxes
from metapix.data.limits import BROKEN_PICTURE, open_picture
from metapix.data.look import Progress, bounds_of, keep_person
from metapix.data.main_person import body_size, find_people
from metapix.data.pose import Detection, MediapipeEstimator
from metapix.errors import InputError

log = logging.getLogger(__name__)

MOST_PICTURES = 50
_FPS = 1.0  # pictures have no rate; side by side each is shown for a second


def find_pictures(folder: Path) -> list[Path]:
    """The pictures that lie in a folder (not deeper), by name; hidden files are left out."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."))


def clip_of_pictures(folder: Path, size: int, name: str | None = None, progress: Progress | None = None) -> Clip:
    """The person in each picture of a folder, the largest where there are several.

    Each picture gets a square of its own around its person, who is thus about as large in all of them. The pictures need not
    come from one camera: the clip has no boxes.

    Args:
        size: side of the frames in pixels.
        name: the clip's name; default the folder's.
        progress: called with the pictures done and the pictures in all.

    Raises:
        InputError: no picture or more than 50, one that cannot be read, or nobody in any of them.
    """
    files = find_pictures(folder)
    if not 1 <= len(files) <= MOST_PICTURES:
        raise InputError(f"{folder} holds {len(files)} pictures; give a folder of 1 to {MOST_PICTURES} pictures of one person")
    rows: list[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]] = []
    with MediapipeEstimator(tracking=False) as finder:
        for number, file in enumerate(files, 1):
            picture = read_picture(file)
            people = find_people(finder, picture)
            if people:
                rows.append(_cut_out(picture, max(people, key=lambda person: body_size(person.joints)), size))
            else:
                log.warning("%s: nobody was found in it; it is left out.", file)
            if progress is not None:
                progress(number, len(files))
    if not rows:
        raise InputError(f"No person was found in the {len(files)} pictures of {folder}: the whole body should be in view, and in front.")
    frames, masks, joints = (torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))
    return Clip(name or folder.resolve().name, frames.permute(0, 3, 1, 2).contiguous(), joints, _FPS, masks[:, None], None, "real")


def read_picture(file: Path) -> NDArray[np.uint8]:
    """A picture as (H, W, 3) uint8 sRGB, upright as its camera says, on white, as :func:`gan_meta.image_pixels.upright_rgb` has it.

    Raises:
        InputError: when it is none, is damaged, is larger than 64 megapixels, or has values that cannot be brought to 0 to 255.
    """
    try:
        with open_picture(file, FORMATS) as picture:
            return upright_rgb(picture)
    except InputError:
        raise
    except BROKEN_PICTURE as error:
        raise InputError(f"{file} cannot be read as a picture ({error})") from error


def _cut_out(picture: NDArray[np.uint8], person: Detection, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """Frame, mask and joints of one picture."""
    assert person.mask is not None
    mask = keep_person(person.mask, person.joints)
    box = plan_boxes(bounds_of(person.joints, mask)[None], (picture.shape[1], picture.shape[0]), _FPS, "fixed")
    joints = camera_to_crop(person.joints[None, :, :2], box, size)[0]
    return (
        crop_picture(picture, box[0], size, pad="edge"),
        crop_picture(mask, box[0], size, pad="zero"),
        np.concatenate([joints, person.joints[:, 2:]], axis=1),
    )
