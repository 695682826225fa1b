"""The commands that get clips: prepare one's own videos and pictures, download the paper's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metapix.errors import InputError

if TYPE_CHECKING:
    from metapix.commands.prepare_jobs import Job, Prepared


def prepare(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos of a person, or folders of 1 to 50 pictures of one.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder in which each video gets a clip folder of its name.")],
    size: Annotated[int, typer.Option(min=8, help="Side of the frames in pixels.")] = 256,
    crop: Annotated[str, typer.Option(help="'follow': the square moves with the person; 'fixed': one square for all frames.")] = "follow",
    every: Annotated[int, typer.Option(min=1, help="Use every so many frames.")] = 1,
    max_frames: Annotated[int | None, typer.Option(min=2, help="Look at no more frames than this.")] = None,
    all_shots: Annotated[bool, typer.Option("--all-shots", help="Keep every shot of a second or more, not the longest only.")] = False,
    poses: Annotated[
        Path | None,
        typer.Option(
            metavar="FILES",
            help="Use these poses: OpenPose's folder, COCO's or AlphaPose's file; of several videos, a folder with one of each name.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Videos at work at once.")] = min(os.cpu_count() or 1, 8),
) -> None:
    """Find the person in each video and cut out square frames with poses and masks."""
    _check_sources(videos)
    from metapix.commands.prepare_jobs import Job, run_jobs

    jobs = [
        Job(video, out / _name(video), size, crop, every, max_frames, all_shots, _poses_of(video, poses, len(videos))) for video in videos
    ]
    with _folder(out):
        done = run_jobs(jobs, workers) if len(jobs) > 1 else [_run_one(jobs[0])]
    for clips in done:
        for folder, frames in clips.clips:
            typer.echo(f"{folder}: {frames} frames of {size} x {size} pixels (see {Path(folder) / 'contact-sheet.jpg'})")
    problems = [f"{video}: {result.problem}" for video, result in zip(videos, done, strict=True) if result.problem]
    if problems:
        raise InputError(f"{len(problems)} of {len(jobs)} could not be prepared: {'; '.join(problems)}")


def download(
    manifest: Annotated[
        str, typer.Argument(metavar="MANIFEST", help="'training' or 'test', the paper's videos, or a .toml file like theirs.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the videos; those that are there already stay.")],
) -> None:
    """Fetch the paper's videos from YouTube with yt-dlp, if you have it, and say which are gone."""
    from rich.progress import Progress

    from metapix.data.download import download as fetch_all
    from metapix.data.download import read_manifest, yt_dlp_fetch

    videos, fetch = read_manifest(manifest), yt_dlp_fetch()
    with _folder(out), Progress(transient=True) as progress:
        bar = progress.add_task(manifest, total=len(videos))
        outcomes = fetch_all(videos, out, fetch, lambda done, total: progress.update(bar, completed=done, total=total))
    for outcome in outcomes:
        state = f"gone: {outcome.problem}" if outcome.file is None else f"{outcome.file} sha256 {outcome.sha256}"
        typer.echo(f"{outcome.video.name} ({outcome.video.youtube}): {state}")
    there = sum(outcome.file is not None for outcome in outcomes)
    typer.echo(f"{there} of {len(outcomes)} videos are there")
    if not there:
        raise InputError(f"none of the {len(outcomes)} videos could be fetched; the first one: {outcomes[0].problem}")


def _run_one(job: Job) -> Prepared:
    from rich.markup import escape
    from rich.progress import Progress

    from metapix.commands.prepare_jobs import run_job

    with Progress(transient=True) as progress:
        bar = progress.add_task(escape(job.source.name), total=None)
        return run_job(job, lambda seen, total: progress.update(bar, completed=seen, total=total))


def _name(source: Path) -> str:
    return source.resolve().name if source.is_dir() else source.stem


def _poses_of(video: Path, poses: Path | None, count: int) -> Path | None:
    if poses is None or count == 1:
        return poses
    for candidate in (poses / f"{video.stem}.json", poses / video.stem):
        if candidate.exists():
            return candidate
    raise InputError(f"there are no poses of {video.name}: neither {poses / video.stem}.json nor a folder {poses / video.stem}")


def _check_sources(videos: list[Path]) -> None:
    """Before minutes of work on the first, see that none would overwrite another's clip; what is bad alone does not stop the others."""
    clips: dict[str, Path] = {}
    for video in videos:
        name = _name(video)
        if name in clips:
            raise InputError(f"{clips[name]} and {video} would both become the clip {name!r}; prepare them into two folders")
        clips[name] = video


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[None]:
    """A folder to write into; one that was not there before goes again when nothing came into it."""
    from metapix.files import make_folder

    new = not path.exists()
    try:
        make_folder(path)
    except InputError as error:
        raise InputError(f"{error} with --out") from error
    try:
        yield
    finally:
        if new and not any(path.iterdir()):
            path.rmdir()
