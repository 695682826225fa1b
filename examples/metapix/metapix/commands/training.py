"""The commands that train starts of one's own: pretrain and meta-train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Device = Annotated[str, typer.Option(help="Where the network works: 'cpu', 'cuda', 'cuda:1', ...")]
Cache = Annotated[Path, typer.Option(help="Where clip folders of videos are kept for the next time.")]

_CLIPS = Path("runs/clips")


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
) -> None:
    """Train a pair on many people together: the start that meta-training begins from."""
    from metapix.commands.people import make_folder, progress_bars
    from metapix.training import stages
    from metapix.training.preset import load_preset
    from metapix.training.subjects import find_subjects

    settings = load_preset(preset, changes or [], model)
    with progress_bars() as bar:
        subjects = find_subjects(data or [], settings.data, settings.recipe.size, cache, seed, bar("people"))
        make_folder(out)
        file = stages.pretrain(settings, subjects, out, seed=seed, device=device, sample_every=sample_every, tick=bar("pretraining"))
    typer.echo(f"start: {file}")


def meta_train(
    init: Annotated[Path, typer.Option("--init", metavar="START", help="The start, made by `metapix pretrain`.")],
    out: Run,
    data: Data = None,
    preset: PresetName = "demo",
    model: Model = None,
    changes: Changes = None,
    sample_every: Annotated[int, typer.Option(min=1, help="Iterations between sample pictures.")] = 25,
    seed: Seed = 0,
    device: Device = "cpu",
    cache: Cache = _CLIPS,
) -> None:
    """Learn a start from which a few steps on a few frames of somebody new go far; the start's file says its model."""
    from metapix.commands.people import make_folder, progress_bars
    from metapix.recipe import start_model
    from metapix.training import stages
    from metapix.training.preset import load_preset
    from metapix.training.subjects import find_subjects

    settings = load_preset(preset, changes or [], start_model(init, model))
    changed = any(change.strip().startswith("recipe.") for change in changes or [])
    settings = stages.with_recipe_of(settings, init, changed)
    with progress_bars() as bar:
        subjects = find_subjects(data or [], settings.data, settings.recipe.size, cache, seed, bar("people"))
        make_folder(out)
        file = stages.meta_train(
            settings, subjects, init, out, seed=seed, device=device, sample_every=sample_every, tick=bar("meta-training")
        )  # fmt: skip
    typer.echo(f"start: {file}")
