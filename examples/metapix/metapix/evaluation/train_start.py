"""One start's work, in a process of its own: made at random, pretrained, pretrained further, or meta-trained; goes on after a kill."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import torch

import gan_meta as gm
from gan_meta.checkpoint import pair_facts
from gan_meta.distributed import World
from metapix.conditioning import conditioning_of
from metapix.errors import InputError
from metapix.evaluation.starts import Start
from metapix.people import on_device
from metapix.poses.pose_input import flip
from metapix.recipe import model_of
from metapix.training import stages
from metapix.training.preset import Preset
from metapix.training.run_options import RunOptions
from metapix.training.statistics import with_statistics
from metapix.training.subjects import Subject, Together, find_subjects, samples_on

_NO_PICTURES = RunOptions(sample_every=10**9)


def start_file(folder: Path, start: Start) -> Path:
    """Where a start is kept."""
    return folder / f"{start.digest}.safetensors"


def train_start(start: Start, preset: Preset, data: tuple[Path, ...], folder: Path, before: Path | None, device: str = "cpu") -> None:
    """Make a start's file.

    Args:
        preset: with the start's changes.
        data: clip folders or folders of them to train on.
        folder: of all starts; ``folder/<digest>/`` holds the training's checkpoints.
        before: the file of the start that training goes on from, or that is taken as it is for a pretrained one; None for one that
            begins at random.

    Raises:
        InputError: when a setting or the data cannot be used.
        OSError, CheckpointError, NonFiniteLossError: when a file cannot be read or training diverges.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    run = folder / start.digest
    run.mkdir(parents=True, exist_ok=True)
    subjects = find_subjects(list(data), preset.data, preset.recipe.size, run, start.seed)
    preset = with_statistics(preset, subjects, run)
    if start.init == "pretrain" and before is not None:
        pair = _given(before, preset)
    elif start.init in ("random", "pretrain"):
        pair = _begin(start, preset, subjects, run, device)
    elif before is None:
        raise InputError(f"a start of the kind {start.init!r} goes on from a pretrained one, and none was named")
    elif start.init == "metapix":
        pair = gm.load_pair(
            stages.meta_train(preset, subjects, before, run, seed=start.seed, world=_alone(device), options=_NO_PICTURES, tick=_quiet)
        )
    else:
        pair = _pretrain_further(start, preset, subjects, before, run, device)
    spent = {"seconds": round(time.perf_counter() - wall, 1), "cpu_seconds": round(time.process_time() - cpu, 1)}
    facts = {"start": start.init, "digest": start.digest, "recipe": preset.recipe.as_dict(), "spent": spent}
    gm.save_pair(pair.to("cpu"), start_file(folder, start), facts, preset.recipe.extra())


def _alone(device: str) -> World:
    """A start is trained by one process, whatever others train beside it."""
    return World(device=torch.device(device))


def _begin(start: Start, preset: Preset, subjects: list[Subject], run: Path, device: str) -> gm.GANPair:
    if start.init == "pretrain":
        file = stages.pretrain(preset, subjects, run, seed=start.seed, world=_alone(device), options=_NO_PICTURES, tick=_quiet)
        return gm.load_pair(file)
    torch.manual_seed(start.seed)
    return stages.create_pair(preset)


def _given(file: Path, preset: Preset) -> gm.GANPair:
    """The authors' weights, or a start of the user's own, in place of pretraining."""
    if model_of(file) != preset.recipe.model:
        raise InputError(f"{file} is a {model_of(file)} start, and one of {preset.recipe.model} is needed")
    return gm.load_pair(file)


def _pretrain_further(start: Start, preset: Preset, subjects: list[Subject], before: Path, run: Path, device: str) -> gm.GANPair:
    """The fair baseline: as many further steps of joint training as meta-training takes."""
    pair = on_device(gm.load_pair(before), device)
    conditioning = conditioning_of(pair)
    inner = conditioning.fit(dataclasses.replace(preset.recipe.inner(0), augment=(flip,)))
    samples = Together([conditioning.examples(samples) for samples in samples_on(subjects, device)])
    steps = preset.meta_train.iterations * preset.meta_train.meta_batch_size * start.steps
    every = preset.pretrain.checkpoint_every
    return gm.pretrain(
        pair, preset.recipe.objective(), samples, steps=steps, inner=inner, run_dir=run, checkpoint_every=every, seed=start.seed + 1
    )


def time_spent(file: Path) -> dict[str, float]:
    """Wall and CPU seconds of a start's training, of its last part where it was interrupted."""
    spent: dict[str, float] = pair_facts(file)["facts"].get("spent", {})
    return spent


def _quiet(_done: int, _total: int | None) -> None:
    return
