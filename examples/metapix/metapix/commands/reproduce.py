"""The command that reproduces the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Preset = Annotated[str, typer.Option("--preset", help="'demo': drawn people and packaged clips; 'paper': the paper's setting.")]
Parts = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="PART", help="table1, fig5, fig6, fig7, epsilon, freeze-d, ratio, objective; all by default."),
]
Videos = Annotated[list[Path] | None, typer.Option(metavar="PATH", help="Clip folders, folders of them, or videos.", show_default=False)]


def reproduce(
    preset: Preset = "demo",
    only: Parts = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Time one step and say what the whole would take.")] = False,
    seeds: Annotated[int, typer.Option(min=0, max=1000, help="How many seeds; 0: the preset's number.")] = 0,
    train: Videos = None,
    test: Videos = None,
    models: Annotated[list[str] | None, typer.Option("--model", help="Which models; the preset's by default.", show_default=False)] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The run's folder; what is done there is kept.")] = Path(
        "runs/reproduce"
    ),
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes at work at once, one thread each.")] = 2,
    device: Annotated[str, typer.Option(help="Where the networks work: 'cpu', 'cuda', 'cuda:1', ...")] = "cpu",
) -> None:
    """Run the paper's tables, figures and ablations, and say which of its claims hold here."""
    import dataclasses

    from gan_meta.distributed import connect
    from metapix.commands.people import progress_bars
    from metapix.evaluation.reproduce.story import Order, check_parts, run_reproduction
    from metapix.evaluation.reproduce.suite import find_suite

    suite = find_suite(preset)
    if models:
        suite = dataclasses.replace(suite, models=tuple(models))
        for model in models:
            suite.training_preset(model)
    order = Order(suite, check_parts(only or []), out, seeds, tuple(train or ()), tuple(test or ()), workers, device)
    with connect() as world, progress_bars() as bar:
        show = bar("jobs")
        run_reproduction(order, world, lambda done, total, _name: show(done, total))
