"""The commands that train starts of one's own, alone or under torchrun: pretrain and meta-train; and status, which looks at them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gan_meta.distributed import World
    from metapix.training.preset import Preset
    from metapix.training.run_options import RunOptions
    from metapix.training.subjects import Subject

Data = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[DATA]...",
        help="Clip folders, folders of clip folders, videos, or a folder of the released data; drawn people where none are named.",
        show_default=False,
    ),
]
Run = Annotated[Path, typer.Option("--out", metavar="RUN", help="The run's folder; an interrupted run there goes on.")]
PresetName = Annotated[
    str, typer.Option("--preset", help="'demo', 'paper', 'posewarp-demo', 'posewarp-paper', or a .toml file of your own.")
]
Model = Annotated[
    str | None, typer.Option("--model", help="'pix2pixhd' or 'posewarp'; 'posewarp' has 'demo' and 'paper' presets of its own.")
]
Changes = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting, e.g. recipe.size=128.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same result.")]
Device = Annotated[
    str, typer.Option(help="Where the network works: 'cpu', 'cuda', 'cuda:1', ...; under torchrun 'cuda' is a GPU for each process.")
]
Cache = Annotated[Path, typer.Option(help="Where clip folders of videos are kept for the next time.")]
Logs = Annotated[
    str,
    typer.Option(
        "--run-logs",  # torchrun takes the shorter name for a beginning of its own --logs-specs, even behind the command
        "--logs",
        help="What is written on the way: any of jsonl, csv, tensorboard and console, with commas between.",
    ),
]
Keep = Annotated[int, typer.Option(min=1, help="How many of the last checkpoints stay.")]
Profile = Annotated[int, typer.Option(min=0, help="Steps to profile, into profile.txt and profile.json.")]
Resume = Annotated[
    bool | None,
    typer.Option("--resume/--no-resume", help="Insist on a checkpoint to go on from, or start anew; default: go on where there is one."),
]

_CLIPS = Path("runs/clips")
_LOGS = "jsonl,csv,tensorboard"


def pretrain(
    out: Run,
    data: Data = None,
    preset: PresetName = "demo",
    model: Model = None,
    changes: Changes = None,
    sample_every: Annotated[int, typer.Option(min=1, help="Steps between sample pictures.")] = 100,
    seed: Seed = 0,
    device: Device = "cpu",
    cache: Cache = _CLIPS,
    logs: Logs = _LOGS,
    keep: Keep = 2,
    profile: Profile = 0,
    resume: Resume = None,
) -> None:
    """Train a pair on many people together: the start that meta-training begins from."""
    from metapix.training import stages
    from metapix.training.preset import load_preset

    def train(settings: Preset, subjects: list[Subject], world: World, tick: Any) -> Path:
        return stages.pretrain(settings, subjects, out, seed=seed, world=world, options=options, tick=tick)

    def settings() -> Preset:
        chosen = load_preset(preset, changes or [], model)
        stages.plan_pair(chosen)
        return chosen

    options = _options(sample_every, logs, keep, profile, resume)
    _train("pretraining", train, settings, data or [], out, seed, device, cache, options)


def meta_train(
    init: Annotated[Path, typer.Option("--init", metavar="START", help="The start, made by `metapix pretrain`.")],
    out: Run,
    data: Data = None,
    preset: PresetName = "demo",
    model: Model = None,
    changes: Changes = None,
    sample_every: Annotated[int, typer.Option(min=1, help="Iterations between sample pictures.")] = 25,
    parallel: Annotated[
        str,
        typer.Option(help="How processes of torchrun share the work: whole 'tasks' each, the 'frames' of one task, or 'auto'."),
    ] = "auto",
    seed: Seed = 0,
    device: Device = "cpu",
    cache: Cache = _CLIPS,
    logs: Logs = _LOGS,
    keep: Keep = 2,
    profile: Profile = 0,
    resume: Resume = None,
) -> None:
    """Learn a start from which a few steps on a few frames of somebody new go far; the start's file says its model."""
    from metapix.recipe import start_model
    from metapix.training import stages
    from metapix.training.preset import load_preset

    def train(settings: Preset, subjects: list[Subject], world: World, tick: Any) -> Path:
        return stages.meta_train(
            settings, subjects, init, out, seed=seed, world=world, parallel=parallel, options=options, tick=tick
        )  # fmt: skip

    def settings() -> Preset:
        changed = any(change.strip().startswith("recipe.") for change in changes or [])
        return stages.with_recipe_of(load_preset(preset, changes or [], start_model(init, model)), init, changed)

    options = _options(sample_every, logs, keep, profile, resume)
    _train("meta-training", train, settings, data or [], out, seed, device, cache, options)


def status(run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run of pretrain or meta-train.")]) -> None:
    """Show how a training stands: progress, speed, time left, memory, checkpoints; also while it runs."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from gan_meta.training.run_status import run_status

    table = Table(show_header=False, box=None)
    for label, value in run_status(run).items():
        table.add_row(Text(label), Text(value))
    Console().print(table)


def _options(sample_every: int, logs: str, keep: int, profile: int, resume: bool | None) -> RunOptions:
    """What the options of both commands ask for."""
    from metapix.errors import InputError
    from metapix.training.run_options import RunOptions

    names = tuple(name.strip() for name in logs.split(",") if name.strip())
    if "console" in names:
        logging.getLogger("gan_meta").setLevel(logging.INFO)
    try:
        return RunOptions(sample_every, names, keep, profile, "auto" if resume is None else resume)
    except ValueError as error:
        raise InputError(f"--logs: {error}") from error


def _train(
    name: str,
    train: Callable[[Preset, list[Subject], World, Any], Path],
    settings: Callable[[], Preset],
    data: list[Path],
    out: Path,
    seed: int,
    device: str,
    cache: Path,
    options: RunOptions,
) -> None:
    """What both stages do: meet the other processes, find the people, train, and say where the start lies."""
    from metapix.commands.people import progress_bars
    from metapix.files import check_folder, make_folder
    from metapix.ranks import connected, in_turn
    from metapix.training.claim import check_checkpoint
    from metapix.training.subjects import find_subjects

    with connected(device) as world, progress_bars(is_shown=world.is_first) as bar:
        world.on_first(lambda: check_folder(out))
        world.on_first(lambda: check_checkpoint(out, name, options.resume))
        preset = in_turn(world, settings)
        subjects = in_turn(world, lambda: find_subjects(data, preset.data, preset.recipe.size, cache, seed, bar("people")))
        world.on_first(lambda: make_folder(out))
        file = train(preset, subjects, world, bar(name))
    if world.is_first:
        typer.echo(f"start: {file}")
