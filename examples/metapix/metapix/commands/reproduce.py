"""The command that reproduces the paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from metapix.evaluation.reproduce.story import Order

Preset = Annotated[str, typer.Option("--preset", help="'demo': drawn people and packaged clips; 'paper': the paper's setting.")]
Parts = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="PART", help="table1, fig5, fig6, fig7, epsilon, freeze-d, ratio, objective; all by default.", show_default=False
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The run's folder; what is done there is kept.")]
TrainOn = Annotated[
    list[Path] | None,
    typer.Option("--train", metavar="PATH", help="Train on these clip folders, folders of them, or videos.", show_default=False),
]
ScoreOn = Annotated[list[Path] | None, typer.Option("--test", metavar="PATH", help="Score on these.", show_default=False)]
Models = Annotated[list[str] | None, typer.Option("--model", help="Which models; the preset's by default.", show_default=False)]

Starts = Annotated[
    list[str] | None,
    typer.Option("--start", metavar="MODEL=FILE", help="A model's pretrained start, in place of pretraining.", show_default=False),
]

Select = Annotated[
    str | None,
    typer.Option(
        "--select", help="How K frames are chosen: 'even', 'random' or 'released'; the preset's way by default.", show_default=False
    ),
]


def reproduce(
    preset: Preset = "demo",
    only: Parts = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Time one step and say what the whole would take.")] = False,
    collect: Annotated[bool, typer.Option("--collect", help="Put together what is done so far, and do no more.")] = False,
    seeds: Annotated[int, typer.Option(min=0, max=1000, help="How many seeds; 0: the preset's number.")] = 0,
    train: TrainOn = None,
    test: ScoreOn = None,
    models: Models = None,
    starts: Starts = None,
    select: Select = None,
    out: Out = Path("runs/reproduce"),
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes at work at once, one thread each.")] = 2,
    device: Annotated[str, typer.Option(help="Where the networks work: 'cpu', 'cuda', 'cuda:1', ...")] = "cpu",
) -> None:
    """Run the paper's tables, figures and ablations, and say which of its claims hold here."""
    import dataclasses

    from gan_meta.distributed import connect
    from metapix.commands.people import progress_bars
    from metapix.evaluation.reproduce.story import Order, check_given, check_parts, collect_reproduction, run_reproduction
    from metapix.evaluation.reproduce.suite import find_suite
    from metapix.evaluation.videos import check_selection

    suite = find_suite(preset)
    if models:
        suite = dataclasses.replace(suite, models=tuple(dict.fromkeys(models)))
        for model in suite.models:
            suite.training_preset(model)
    if select is not None:
        suite = dataclasses.replace(suite, selection=check_selection(select))
    given = check_given(starts or [], suite.models)
    order = Order(suite, check_parts(only or []), out, seeds, tuple(train or ()), tuple(test or ()), workers, device, given)
    if dry_run:
        _tell_forecast(order)
        return
    if collect:
        _tell_results(collect_reproduction(order), out)
        return
    with connect() as world, progress_bars() as bar:
        show = bar("jobs") if world.is_first else _silent
        results = run_reproduction(order, world, lambda done, total, _name: show(done, total))
    if world.is_first:
        _tell_results(results, out)


def _tell_results(results: dict[str, Any], out: Path) -> None:
    for claim in results["claims"]:
        typer.echo(f"{claim['verdict']:>14}: {claim['text']}")
    by_reason: dict[str, list[str]] = {}
    for hole in results["holes"]:
        by_reason.setdefault(hole["why"], []).append(hole["what"])
    for why, names in by_reason.items():
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        typer.echo(f"{'missing':>14}: {names[0]}{more}: {why}")
    typer.echo(f"report: {out / 'report.html'}")


def _tell_forecast(order: Order) -> None:
    from metapix.errors import InputError
    from metapix.evaluation.reproduce.dry_run import forecast, measure, one_thread, peak
    from metapix.evaluation.reproduce.plans import entries_of

    one_thread()
    suite, measured, before = order.suite, {}, peak()
    for model in suite.models:
        try:
            measured[model] = measure(suite.training_preset(model), suite.shots, before)
        except InputError as error:
            typer.echo(f"{model}: left out, {error}")
    entries = entries_of(order.parts, suite, list(measured))
    typer.echo(f"{'part':<10}{'starts':>8}{'cells':>8}{'steps':>11}{'TFLOP':>13}{'CPU hours':>12}{f'hours by {order.workers}':>12}")
    for row in forecast(order, entries, measured):
        hours = row.hours / order.workers
        typer.echo(
            f"{row.part:<10}{row.starts:>8}{row.cells:>8}{row.steps:>11,}{row.operations / 1e12:>13,.0f}{row.hours:>12,.2f}{hours:>12,.2f}"
        )
    for model, one in measured.items():
        notes = "".join(f"; {note}" for note in one.notes)
        typer.echo(f"{model}: {one.step_seconds:.4f} CPU s a frame and step, about {one.memory / 2**30:.1f} GiB a process{notes}")


def _silent(_done: int, _total: int | None) -> None:
    return
