"""A dry run: time one step and one frame here, count what there is to do, and say how long it would take and how much memory."""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import gan_meta as gm
from gan_meta.game.adaptation import OnStep
from metapix.conditioning import conditioning_of
from metapix.data.drawn import draw_clip
from metapix.data.folder import count_frames, is_clip_folder
from metapix.evaluation.adapting import steps_of
from metapix.evaluation.frame_scores import FrameScores
from metapix.evaluation.reproduce.plans import Entry
from metapix.evaluation.reproduce.story import Order
from metapix.evaluation.starts import LEARNS_NOTHING
from metapix.personalize import generate, pose_inputs
from metapix.tasks import TRAIN_SHARE
from metapix.training.preset import Preset
from metapix.training.stages import create_pair

_MEASURED_AT = 128
"""Larger pictures are timed at this size, one at a time, and scaled by their pixels: convolutions cost as much a pixel at any size."""
_TIMED = 3
_COPIES = 5
"""Of the weights in a game: theta, phi, gradients, and Adam's two averages."""


@dataclass(frozen=True)
class Measured:
    """What one frame costs at a preset's size.

    Attributes:
        step_seconds: CPU seconds of one frame in one step of a game.
        step_operations: floating-point operations of the same.
        frame_seconds: to draw and score one frame.
        memory: bytes of a process that plays a game with a whole batch, about.
        notes: what was done otherwise than in the run itself.
    """

    step_seconds: float
    step_operations: float
    frame_seconds: float
    memory: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Forecast:
    """What a part takes.

    Attributes:
        part: its name; ``"all"`` for the whole order.
        starts, cells: how many there are, each counted once.
        steps: of all games.
        operations: floating-point operations of all steps.
        hours: CPU hours.
    """

    part: str
    starts: int
    cells: int
    steps: int
    operations: float
    hours: float


def measure(preset: Preset, shots: int, before: float) -> Measured:
    """Time a few steps of a preset's game on drawn people, in this process, on one thread.

    Args:
        shots: K of the game that is timed.
        before: bytes that a process holds before it plays, as :func:`peak` tells them while none has been played.
    """
    size, notes = preset.recipe.size, []
    small = min(size, _MEASURED_AT)
    scale = (size / small) ** 2
    if scale > 1:
        notes.append(f"timed at {small}x{small}, one frame at a time, and scaled to {size}x{size}")
        shots = 1
    recipe = preset.recipe
    if recipe.perceptual == "vgg19":
        recipe = dataclasses.replace(recipe, perceptual="vgg19-random")  # as fast as the real one, and always there
        notes.append("the run itself needs VGG19's weights; timed with random ones")
    pair = create_pair(preset)
    clip = draw_clip(0, max(shots, 4), small)
    conditioning = conditioning_of(pair)
    support, game = conditioning.samples(clip.select(range(max(shots, conditioning.fewest)))), conditioning.fit(preset.game())
    objective, frames = recipe.objective(), len(next(iter(support.values())))

    def play(steps: int, on_step: OnStep | None = None) -> None:
        gm.adapt(pair, objective, support, dataclasses.replace(game, steps=steps), on_step=on_step)

    done: list[float] = []
    with FlopCounterMode(display=False) as counter:
        play(2, lambda *_: done.append(counter.get_total_flops()))
    step = _cpu_seconds(lambda: play(_TIMED)) / _TIMED / frames
    weights = _COPIES * sum(parameter.numel() * parameter.element_size() for parameter in pair.parameters())
    memory = before + weights + _kept_for_the_way_back(lambda on_step: play(2, on_step)) * scale * preset.recipe.batch_size / frames

    def draw_and_score() -> None:
        scores = FrameScores(clip)
        for images in generate(pair, pose_inputs(pair, clip, clip)):
            scores.add(images)

    drawn = _cpu_seconds(draw_and_score) / len(clip)
    return Measured(step * scale, (done[1] - done[0]) * scale / frames, drawn * scale, memory, tuple(notes))


def forecast(order: Order, entries: Sequence[Entry], measured: dict[str, Measured]) -> list[Forecast]:
    """What each part takes on its own, and the whole, in which parts share starts and cells.

    Args:
        measured: by model; entries of models that are not in it are left out.
    """
    entries = [entry for entry in entries if entry.model in measured or entry.init in LEARNS_NOTHING]
    parts = dict.fromkeys(entry.part for entry in entries)
    told = [_of_part(part, order, [entry for entry in entries if entry.part == part], measured) for part in parts]
    return [*told, _of_part("all", order, entries, measured)]


def _of_part(part: str, order: Order, entries: Sequence[Entry], measured: dict[str, Measured]) -> Forecast:
    training, tests = _frames(order)
    seeds = len(order.all_seeds)
    starts: dict[tuple[object, ...], tuple[int, float, Measured]] = {}
    cells: dict[tuple[object, ...], tuple[int, float, Measured | None]] = {}
    scored = sum(min(order.suite.most_frames, frames - int(frames * TRAIN_SHARE)) for frames in tests)
    for entry in entries:
        one = measured.get(entry.model)
        key = (entry.model, entry.init, entry.meta_shots, entry.meta_steps, entry.changes)
        cells[(*key, entry.shots, entry.steps)] = (*_cell_work(order, entry, tests), one)
        if one is not None:
            preset = order.suite.training_preset(entry.model, entry.changes)
            starts[key] = (*_start_work(entry, preset, training), one)
            if entry.meta_steps:
                base = dataclasses.replace(entry, init="pretrain", meta_steps=0)
                starts[(entry.model, "pretrain", 0, 0, ())] = (*_start_work(base, preset, training), one)
    work = [*starts.values(), *cells.values()]
    frame_steps = [(frames, one) for _, frames, one in work if one is not None]
    seconds = sum(frames * one.step_seconds for frames, one in frame_steps)
    seconds += sum(scored * one.frame_seconds for _, _, one in cells.values() if one is not None)
    return Forecast(
        part,
        len(starts) * seeds,
        sum(1 if key[1] in LEARNS_NOTHING else seeds for key in cells) * len(tests),  # what learns nothing has no seeds
        sum(steps for steps, _, _ in work) * seeds,
        sum(frames * one.step_operations for frames, one in frame_steps) * seeds,
        seconds * seeds / 3600,
    )


def _start_work(entry: Entry, preset: Preset, training_frames: int) -> tuple[int, float]:
    """Steps, and frames in all steps together, of training a start, without the one it goes on from."""
    batch = preset.recipe.batch_size
    if entry.init == "random":
        return 0, 0.0
    if entry.init == "pretrain":
        steps = preset.pretrain.steps or steps_of("all", training_frames, preset.pretrain.epochs, batch)
        return steps, float(steps * batch)
    steps = preset.meta_train.iterations * preset.meta_train.meta_batch_size * entry.meta_steps
    return steps, float(steps * (_seen_a_step(preset, entry.meta_shots) if entry.init == "metapix" else batch))


def _cell_work(order: Order, entry: Entry, tests: Sequence[int]) -> tuple[int, float]:
    """The same of an entry's cells of one seed."""
    if entry.init in LEARNS_NOTHING:
        return 0, 0.0
    preset = order.suite.training_preset(entry.model)
    batch = preset.recipe.batch_size
    steps = sum(steps_of(entry.steps, int(frames * TRAIN_SHARE), order.suite.epochs, batch) for frames in tests)
    return steps, float(steps * (batch if entry.shots == "all" else _seen_a_step(preset, int(entry.shots))))


def _seen_a_step(preset: Preset, shots: int) -> int:
    """How many samples of K frames a step sees: a Posewarp pair learns from all ordered pairs of them."""
    samples = shots * (shots - 1) if preset.recipe.model == "posewarp" else shots
    return min(samples, preset.recipe.batch_size)


def _frames(order: Order) -> tuple[int, list[int]]:
    """Frames of all training videos, and of each test video: of what is named, or of what the suite has or assumes."""
    suite = order.suite
    data = suite.training_preset(suite.models[0]).data
    if suite.assumed is None:
        test = [suite.test.drawn_frames] * suite.test.drawn + [suite.test.real_frames] * len(suite.test.real)
        training = data.people * data.frames
    else:
        test = [suite.assumed.test_frames] * suite.assumed.test_videos
        training = suite.assumed.training_frames
    named = [
        [folder for path in paths for folder in (path, *path.glob("*")) if is_clip_folder(folder)] for paths in (order.training, order.test)
    ]
    counts = [[count_frames(folder) for folder in folders] for folders in named]
    return sum(counts[0]) or training, counts[1] or test


def _cpu_seconds(action: Callable[[], None]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _kept_for_the_way_back(play: Callable[[OnStep], None]) -> float:
    """Bytes that operations of a game's second step keep for their derivatives, each storage once; weights do not grow and do not count.

    The first step is no measure: a game tries then whether its losses couple the samples.
    """
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if not tensor.is_leaf or not tensor.requires_grad:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def forget_the_first(step: int, *_: object) -> None:
        if step == 1:
            kept.clear()

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        play(forget_the_first)
    return float(sum(kept.values()))


def peak() -> float:
    """The most memory this process has held, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else most * 1024)


def one_thread() -> None:
    """As the workers of the run have it."""
    torch.set_num_threads(1)
