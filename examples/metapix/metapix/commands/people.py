"""The commands for people of one's own: puppet, personalize, retarget, evaluate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

Clip_ = Annotated[
    Path,
    typer.Argument(metavar="CLIP", help="The person: a clip folder made by `metapix prepare`, a folder of 1 to 50 pictures, or a video."),
]
Driver = Annotated[Path, typer.Argument(metavar="DRIVER", help="The moves: a clip folder or a video.")]
VideoFile = Annotated[Path, typer.Option("--out", metavar="VIDEO", help="The video to write, ending in .mp4.")]
Frames = Annotated[int, typer.Option(min=1, max=50, help="K, how many frames of the person are used, evenly spaced.")]
Steps = Annotated[int, typer.Option(min=0, help="T, how many steps the start adapts.")]
Start = Annotated[
    Path | None,
    typer.Option("--init", metavar="THETA", help="The start, a file made by metapix; default: the one that ships."),
]
Choose = Annotated[
    bool | None,
    typer.Option(help="Find the number of steps, --steps at most, by leaving frames out; default: for a start with a reference."),
]
Size = Annotated[int, typer.Option(min=32, max=1024, help="Side of the picture in pixels.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same result.")]
Crop = Annotated[
    str, typer.Option(help="Of a driving video: 'follow' its person, who then stays in the middle, or keep its camera 'fixed'.")
]
Limbs = Annotated[bool, typer.Option("--limbs", help="Give the moves the person's limb lengths, not the body's size alone.")]
Mute = Annotated[bool, typer.Option("--mute", help="Leave the driving video's sound out.")]
Gif = Annotated[Path | None, typer.Option(metavar="FILE", help="Write an animated GIF, too.")]
SideBySide = Annotated[bool, typer.Option("--side-by-side", help="Show the person's frames and the driver beside the result.")]
ReferenceKind = Annotated[
    str | None, typer.Option("--reference", help="'none', 'plate' or 'puppet': insist that the start has this reference.")
]
Model = Annotated[str | None, typer.Option("--model", help="'pix2pixhd' or 'posewarp': insist that the start or model is of this kind.")]
Source = Annotated[
    str, typer.Option("--source", help="Of a Posewarp start: draw a pose from the 'nearest' of the K frames, or always from the 'first'.")
]
Device = Annotated[str, typer.Option(help="Where the network works: 'cpu', 'cuda', 'cuda:1', ...")]
Cache = Annotated[Path, typer.Option(help="Where clip folders of videos are kept for the next time.")]

_CLIPS = Path("runs/clips")


def puppet(
    clip: Clip_,
    driver: Driver,
    out: VideoFile,
    frames: Frames = 5,
    size: Size = 256,
    side_by_side: SideBySide = False,
    limbs: Limbs = False,
    crop: Crop = "follow",
    mute: Mute = False,
    gif: Gif = None,
    cache: Cache = _CLIPS,
) -> None:
    """Move a person's limbs from a few frames to a driver's poses, over the empty room, without any learning."""
    from metapix.performer import Performer
    from metapix.production import check_outputs, write_retargeted
    from metapix.tasks import evenly_spaced

    check_outputs(out, gif, crop, [clip, driver])
    with progress_bars() as tick:
        shots = evenly_spaced(_open(clip, size, cache, tick), frames)
        moves = _open_driver(driver, size, cache, crop, tick)
        performer = Performer(shots)
        write_retargeted(
            performer, moves, out, side_by_side=side_by_side, limbs=limbs, sound=not mute, gif=gif, tick=tick("drawing")
        )  # fmt: skip
    typer.echo(f"video: {out}")


def personalize(
    clip: Clip_,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The personalised model to write.")],
    init: Start = None,
    frames: Frames = 5,
    steps: Steps = 20,
    choose: Choose = None,
    keep_best: Annotated[bool, typer.Option("--keep-best", help="Keep the step with the best score on held-out frames.")] = False,
    model: Model = None,
    source: Source = "nearest",
    reference: ReferenceKind = None,
    size: Size = 256,
    seed: Seed = 0,
    device: Device = "cpu",
    cache: Cache = _CLIPS,
) -> None:
    """Adapt a start to one person from a few frames, and keep it with those frames."""
    from metapix.files import writable
    from metapix.held_out import choose_rows
    from metapix.people import personalize_to, start_with_recipe
    from metapix.reference import reference_of
    from metapix.tasks import evenly_spaced

    file = _start_file(init)
    writable(out, inputs=[clip, file])
    start, recipe = start_with_recipe(file, reference, device, model)
    choosing = reference_of(start) != "none" and not keep_best if choose is None else choose
    with progress_bars() as tick:
        read: list[list[int]] = [[], []]

        def choose_read(count: int) -> list[int]:
            read[:] = choose_rows(count, frames)
            return [*read[0], *read[1]]

        person = _open(clip, size, cache, tick, choose_read)
        learnt, others = len(read[0]), len(read[1])
        shots = evenly_spaced(person.select(range(learnt)), frames)
        done = personalize_to(
            start, recipe, shots, steps, out, choosing=choosing, keep_best=keep_best, source=source, seed=seed, tick=tick("adapting"),
            held_out=person.select(range(learnt, learnt + others)) if others else None,
            report=lambda step, score: typer.echo(f"after {step} steps: {score:.2f} dB on frames not learnt from"),
        )  # fmt: skip
    typer.echo(f"model: {out} ({frames} frames, {done.steps} steps)")


def retarget(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model made by `metapix personalize`.")],
    driver: Driver,
    out: VideoFile,
    kind: Model = None,
    side_by_side: SideBySide = False,
    limbs: Limbs = False,
    crop: Crop = "follow",
    mute: Mute = False,
    gif: Gif = None,
    device: Device = "cpu",
    cache: Cache = _CLIPS,
) -> None:
    """Make the person of a personalised model do a driver's moves."""
    from metapix.people import on_device
    from metapix.performer import load_performer
    from metapix.production import check_outputs, write_retargeted
    from metapix.recipe import start_model

    check_outputs(out, gif, crop, [model, driver])
    start_model(model, kind)
    performer = load_performer(model)
    if performer.pair is not None:
        on_device(performer.pair, device)
    with progress_bars() as tick:
        moves = _open_driver(driver, performer.shots.size, cache, crop, tick)
        write_retargeted(
            performer, moves, out, side_by_side=side_by_side, limbs=limbs, sound=not mute, gif=gif, tick=tick("drawing")
        )  # fmt: skip
    typer.echo(f"video: {out}")


def evaluate(
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP...", help="People that the start has not seen: clip folders, or videos.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for results.json, report.html and the scores frame by frame.")],
    init: Annotated[
        list[Path] | None,
        typer.Option("--init", metavar="THETA", help="A start; give it again for more of them; default: the one that ships."),
    ] = None,
    frames: Annotated[list[int], typer.Option(min=1, max=50, help="K, frames to learn from; give it again for more values.")] = [5],  # noqa: B006
    steps: Annotated[list[int], typer.Option(min=0, help="T, steps of personalising; give it again for more values.")] = [20],  # noqa: B006
    select: Annotated[str, typer.Option(help="Which K frames: 'even', or 'random' by seed.")] = "even",
    choose: Choose = None,
    model: Model = None,
    source: Source = "nearest",
    reference: ReferenceKind = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Repeat with so many seeds, --seed and the next ones.")] = 1,
    pose_frames: Annotated[int, typer.Option(min=0, help="Estimate the pose in so many of a clip's results, for PCK.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes at work at once, one thread each.")] = 2,
    device: Device = "cpu",
    cache: Cache = _CLIPS,
) -> None:
    """Score starts on people: learn from the first 85% of each clip, score the rest, beside what learns nothing; goes on after a kill."""
    from metapix.evaluation.own import Grid
    from metapix.evaluation.own_results import evaluation
    from metapix.evaluation.own_videos import find_videos
    from metapix.evaluation.videos import check_selection
    from metapix.files import check_folder, make_folder
    from metapix.ranks import connected, in_turn

    every = tuple(range(seed, seed + seeds))
    grid = Grid(tuple(dict.fromkeys(frames)), tuple(dict.fromkeys(steps)), every, check_selection(select), pose_frames=pose_frames)
    files = list(dict.fromkeys(init or [_start_file(None)]))
    with connected(device) as world, progress_bars(is_shown=world.is_first) as tick:
        world.on_first(lambda: check_folder(out, inputs=clips))
        starts = in_turn(world, lambda: _starts(files, reference, str(world.device), model, source, choose))
        world.on_first(lambda: _make_results_folder(out, clips))
        people, holes = in_turn(world, lambda: find_videos(clips, starts[0].recipe.size, cache, tick))
        world.on_first(lambda: make_folder(out / "cells"))
        results = evaluation(starts, people, grid, out / "cells", world, workers=workers, holes=holes, tick=tick("scoring"))
        if world.is_first:
            _write_scores(results, out)


def _make_results_folder(out: Path, clips: Sequence[Path]) -> None:
    from metapix.files import make_folder, writable

    make_folder(out, inputs=clips)
    for name in ("results.json", "report.html"):
        writable(out / name)


def _starts(files: Sequence[Path], reference: str | None, device: str, model: str | None, source: str, choose: bool | None) -> list[Any]:
    """The starts to be scored, all of one size."""
    from metapix.errors import InputError
    from metapix.evaluation.own import OwnStart

    starts = []
    for file in files:
        starts.append(OwnStart.open(file, source=source, choosing=choose, reference=reference, model=model, device=device))
        size, first = starts[-1].recipe.size, starts[0].recipe.size
        if size != first:
            sizes = f"{files[0]} draws {first} pixels and {file} {size}"
            raise InputError(f"{sizes}; scores of different sizes do not compare: evaluate them one by one")
    return starts


def _write_scores(results: dict[str, Any], out: Path) -> None:
    """results.json and its report, and a line a row."""
    from metapix.files import write_text
    from metapix.report import build_report

    write_text(out / "results.json", json.dumps(results, indent=1))
    for row in results["rows"]:
        scores = ", ".join(f"{name} {row[name]:.2f}" for name in ("psnr", "person_psnr", "ssim") if name in row)
        name = f"{row['init']} {row['start']}" if "start" in row else row["init"]
        typer.echo(f"{name:<22} K={row['K']} T={row['T']}: {scores}")
    for hole in results["holes"]:
        typer.echo(f"{'missing':<22} {hole['what']}: {hole['why']}")
    typer.echo(f"report: {build_report(out)}")


COMMANDS = (puppet, personalize, retarget, evaluate)


@contextmanager
def progress_bars(*, is_shown: bool = True) -> Iterator[Any]:
    """Bars by name, if they are to be shown: the block gets a function from a name to a callback ``(done, total)``."""
    from rich.progress import Progress

    with Progress(transient=True, disable=not is_shown) as progress:

        def bar(name: str) -> Any:
            task = progress.add_task(name, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield bar


def _start_file(init: Path | None) -> Path:
    """The start that was named, or the one that ships, which is checked first."""
    if init is not None:
        return init
    from metapix.start import checked_shipped_start

    return checked_shipped_start()


def _open(path: Path, size: int, cache: Path, bar: Any, choose: Callable[[int], Sequence[int]] = range) -> Any:
    from metapix.production import open_clip

    return open_clip(path, size, cache, bar(f"finding the person in {path.name}") if path.is_file() else None, choose)


def _open_driver(path: Path, size: int, cache: Path, crop: str, bar: Any) -> Any:
    from metapix.production import open_driver

    return open_driver(path, size, cache, crop=crop, progress=bar(f"finding the moves in {path.name}") if path.is_file() else None)
