"""The demo's training stages; each reads files, writes one file when it is done, and is skipped when that file is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

import gan_meta as gm
from gan_meta.checkpoint import load_tensors, save_tensors
from gan_meta.seeds import derive_seed
from metapix.conditioning import conditioning_of
from metapix.data.bundled import bundled_videos
from metapix.data.clip import Clip
from metapix.data.drawn import draw_clip
from metapix.data.main_person import MainPersonEstimator
from metapix.data.prepare import prepare_clip
from metapix.demo.settings import DemoSettings
from metapix.poses.pose_labels import pose_facts
from metapix.tasks import ClipSamples
from metapix.training.subjects import Together

Tick = Callable[[int], None]
"""Told how many steps of a stage are done."""
STARTS = {"random": "random", "pretrain": "pretrained", "pretrain-equal-steps": "equal-steps", "metapix": "theta"}
"""A start's name in ``results.json`` and the file that holds it."""


def draw_people(settings: DemoSettings, run_dir: Path, tick: Tick) -> None:
    """Draw the people to learn from and the unseen ones."""
    clips = []
    for number in range(settings.training_people + settings.unseen_people):
        training = number < settings.training_people
        frames = settings.training_frames if training else settings.unseen_frames
        # Unseen people have seeds of their own, so that more training people do not turn into them.
        kind, index = ("training", number) if training else ("unseen", number - settings.training_people)
        clips.append(draw_clip(derive_seed(settings.seed, kind, index) % 2**31, frames, settings.size, fps=settings.drawn_fps))
        tick(number + 1)
    tensors = {}
    for number, clip in enumerate(clips):
        tensors[f"{number}.frames"], tensors[f"{number}.joints"] = clip.frames, clip.joints
        assert clip.masks is not None
        tensors[f"{number}.masks"] = clip.masks
    save_tensors(run_dir / "people.safetensors", tensors, {"names": [clip.name for clip in clips], "fps": [clip.fps for clip in clips]})


def load_people(settings: DemoSettings, run_dir: Path) -> tuple[list[Clip], list[Clip]]:
    """The drawn people to learn from, and the unseen ones."""
    tensors, document = load_tensors(run_dir / "people.safetensors")
    clips = [
        Clip(name, tensors[f"{number}.frames"], tensors[f"{number}.joints"], fps, tensors[f"{number}.masks"])
        for number, (name, fps) in enumerate(zip(document["names"], document["fps"], strict=True))
    ]
    return clips[: settings.training_people], clips[settings.training_people :]


def start_file(run_dir: Path, model: str, init: str) -> Path:
    """Where a model's start of this name, one of :data:`STARTS`, is kept."""
    return run_dir / f"{prefix(model)}{STARTS[init]}.safetensors"


def prefix(model: str) -> str:
    """What the names of a model's files begin with; nothing for Pix2PixHD, the demo's first model."""
    return "" if model == "pix2pixhd" else f"{model}-"


def pretrain(settings: DemoSettings, run_dir: Path, model: str, tick: Tick) -> None:
    """Joint training on all training people from random weights."""
    torch.manual_seed(settings.seed)
    pair = settings.build_pair(model)
    _save(settings, run_dir, model, pair, "random")
    _train_jointly(settings, run_dir, model, pair, settings.pretrain_steps, settings.seed, tick)
    _save(settings, run_dir, model, pair, "pretrain")


def pretrain_further(settings: DemoSettings, run_dir: Path, model: str, tick: Tick) -> None:
    """The fair baseline: as many further optimiser steps of joint training as meta-training takes."""
    pair = gm.load_pair(start_file(run_dir, model, "pretrain"))
    _train_jointly(settings, run_dir, model, pair, settings.meta_iterations * settings.steps, settings.seed + 1, tick)
    _save(settings, run_dir, model, pair, "pretrain-equal-steps")


def meta_train(settings: DemoSettings, run_dir: Path, model: str, tick: Tick) -> None:
    """Reptile over all players, from the pretrained start (the paper's algorithm 1)."""
    pair = gm.load_pair(start_file(run_dir, model, "pretrain"))
    conditioning = conditioning_of(pair)
    training, _ = load_people(settings, run_dir)
    inner = conditioning.fit(settings.build_inner(model))
    algorithm = gm.algorithms.create("reptile", objective=settings.build_objective(model), inner=inner)
    people = [ClipSamples([clip], conditioning.pose) for clip in training]
    tasks = conditioning.tasks(people, settings.shots, 0, [clip.name for clip in training])
    trainer = gm.MetaTrainer(
        pair,
        algorithm,
        tasks,
        iterations=settings.meta_iterations,
        meta_lr=settings.meta_lr,
        seed=settings.seed,
        on_iteration=lambda iteration, _logs: tick(iteration * settings.steps),
    )
    trainer.fit()
    _save(settings, run_dir, model, pair, "metapix")


def prepare_real(settings: DemoSettings, run_dir: Path, tick: Tick) -> None:
    """Find the person in each packaged clip that the demo uses, and crop the frames."""
    videos = bundled_videos()
    done = 0

    def progress(*_: object) -> None:
        nonlocal done
        done += 1
        tick(done)

    for name in real_clips(settings):
        with MainPersonEstimator(rank=settings.driver_rank if name == settings.driver else 0) as estimator:
            prepare_clip(
                videos[name],
                run_dir / "clips" / name,
                size=settings.video_size,
                max_frames=settings.real_frames,
                name=name,
                estimator=estimator,
                crop="fixed",
                progress=progress,
            )


def real_clips(settings: DemoSettings) -> list[str]:
    """The packaged clips that the demo needs, each once."""
    return list(dict.fromkeys([*settings.scored_clips, settings.target, settings.driver]))


def _save(settings: DemoSettings, run_dir: Path, model: str, pair: gm.GANPair, init: str) -> None:
    facts = {"start": init, "recipe": settings.recipe_of(model).as_dict(), "pose": pose_facts(pair), "settings": settings.as_dict()}
    gm.save_pair(pair, start_file(run_dir, model, init), facts)


def _train_jointly(settings: DemoSettings, run_dir: Path, model: str, pair: gm.GANPair, steps: int, seed: int, tick: Tick) -> None:
    conditioning = conditioning_of(pair)
    training, _ = load_people(settings, run_dir)
    gm.pretrain(
        pair,
        settings.build_objective(model),
        Together([conditioning.examples(ClipSamples([clip], conditioning.pose)) for clip in training]),
        steps=steps,
        inner=conditioning.fit(settings.build_joint(model)),
        seed=seed,
        on_step=lambda step, _steps, _losses: tick(step),
    )
