"""Response statistics for Posewarp's loss: how much each feature varies over the training frames, computed once a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from gan_meta.models.posewarp.features import posewarp_features, read_statistics, response_statistics, save_statistics
from metapix.errors import InputError
from metapix.training.preset import Preset
from metapix.training.subjects import Subject

FILE = "statistics.safetensors"
MOST_FRAMES = 200


def with_statistics(preset: Preset, subjects: Sequence[Subject], out: Path) -> Preset:
    """The preset with response statistics in its recipe, where Posewarp compares features and has none yet.

    Args:
        subjects: up to 200 frames, evenly taken from all of them, are looked at.
        out: the run's folder; a ``statistics.safetensors`` there, of an earlier run or of ``gan-meta statistics``, is used as it is.

    Raises:
        InputError: when the features' weights are not on this machine, or the file there holds something else.
    """
    recipe = preset.recipe
    if recipe.model != "posewarp" or recipe.perceptual is None or recipe.statistics:
        return preset
    path = out / FILE
    try:
        if not path.is_file():
            save_statistics(path, response_statistics(posewarp_features(recipe.perceptual), _pictures(subjects)))
        found = tuple(read_statistics(path))
    except (ValueError, ImportError, FileNotFoundError) as error:
        raise InputError(str(error)) from error
    return dataclasses.replace(preset, recipe=dataclasses.replace(recipe, statistics=found))


def _pictures(subjects: Sequence[Subject]) -> Iterator[Tensor]:
    each = max(MOST_FRAMES // len(subjects), 1)
    for subject in subjects[:: -(-len(subjects) // MOST_FRAMES)]:
        count = len(subject.samples)
        for row in range(0, count, max(count // each, 1)):
            yield subject.samples.batch([row])["image"]
