"""The command that trains the start which ships."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

_RUN = Path("runs/start")


def train_start(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The start to write; its model card goes beside it.")],
    run: Annotated[Path, typer.Option("--run", metavar="DIR", help="Where checkpoints and prepared clips are kept to go on from.")] = _RUN,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of training; default: those of the start that ships.")] = None,
    people: Annotated[int | None, typer.Option(min=1, help="Drawn people to learn from; default: as many as the shipped start's.")] = None,
    real: Annotated[bool, typer.Option(help="Learn from packaged real clips too.")] = True,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same start.")] = 0,
) -> None:
    """Train a start on drawn and real people, on top of their puppets: the recipe of the start that ships."""
    from rich.progress import Progress

    from metapix.errors import InputError
    from metapix.files import make_folder, writable
    from metapix.start import StartSettings, train_start
    from metapix.start.card import card_path

    if out.suffix != ".safetensors" or not out.parent.is_dir():
        raise InputError(f"cannot write {out}: give a file that ends in .safetensors, in a folder that is there")
    for file in (out, card_path(out), out.with_suffix(".md")):
        writable(file)
    make_folder(run)
    chosen: dict[str, Any] = {"steps": steps, "drawn_people": people, "real_clips": None if real else ()}
    settings = StartSettings(seed=seed, **{name: value for name, value in chosen.items() if value is not None})
    logging.getLogger("metapix.puppet.plate").setLevel(logging.ERROR)  # hundreds of plates are made, some of pictures with a passer-by
    with Progress() as progress:
        bars: dict[str, Any] = {}

        def tick(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done, total=total)

        card = train_start(settings, run, out, tick)
    for row in card["rows"]:
        typer.echo(f"{row['data']:<6} {row['init']:<9} PSNR {row['psnr']:.2f}, person {row['person_psnr']:.2f}, SSIM {row['ssim']:.3f}")
    typer.echo(f"start: {out}")
