"""Prepare several videos and folders of pictures side by side, each a job in a process of its own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_meta.image_files import SUFFIXES
from gan_meta.memory import memory_problem
from gan_meta.partial import partial_beside
from metapix.data.folder import check_replaceable, count_frames, write_clip
from metapix.data.pictures import clip_of_pictures, find_pictures
from metapix.data.pose_files import PosesFromFiles
from metapix.data.prepare import prepare_video
from metapix.data.video import expected_frames
from metapix.demo.crew import Crew, Stage
from metapix.errors import InputError
from metapix.files import write_text

_AT_ONCE = 16  # jobs that are handed out together

Tick = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Job:
    """One video, or one folder of pictures, to be prepared; options as of :func:`metapix.data.prepare.prepare_video`.

    Attributes:
        poses: files with the poses, or ``None`` to find them.
    """

    source: Path
    out: Path
    size: int
    crop: str = "follow"
    every: int = 1
    max_frames: int | None = None
    all_shots: bool = False
    poses: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """What became of a job: the clip folders and their numbers of frames, or what was wrong."""

    clips: tuple[tuple[str, int], ...] = ()
    problem: str | None = None


def run_job(job: Job, tick: Tick | None = None) -> Prepared:
    """Prepare one clip, or one for each shot.

    Raises:
        InputError: there is no such file; as :func:`metapix.data.prepare.prepare_video` and
            :func:`metapix.data.pictures.clip_of_pictures`.
    """
    if not job.source.exists():
        raise InputError(f"there is no video file {job.source}")
    check_replaceable(job.out)
    if job.source.is_dir():
        if not find_pictures(job.source):
            raise InputError(
                f"there is no video file {job.source}: it is a folder, and no pictures are in it; they end in {', '.join(SUFFIXES)}"
            )
        clip = clip_of_pictures(job.source, job.size, progress=tick)
        write_clip(clip, job.out, settings={"pictures": len(clip), "size": job.size})
        folders = [job.out]
    else:
        folders = prepare_video(
            job.source,
            job.out,
            size=job.size,
            crop=job.crop,
            every=job.every,
            max_frames=job.max_frames,
            all_shots=job.all_shots,
            estimator=None if job.poses is None else PosesFromFiles(job.poses, job.every, job.source, job.max_frames),
            progress=tick,
        )
    return Prepared(tuple((str(folder), count_frames(folder)) for folder in folders))


def run_jobs(jobs: Sequence[Job], workers: int) -> list[Prepared]:
    """Run jobs side by side, each on one core; one that fails, whatever it does, does not stop the others."""
    with partial_beside(jobs[0].out.with_name("outcomes")) as folder:
        outcomes = [folder / f"{number}.json" for number in range(len(jobs))]
        stages = [
            Stage(job.source.name, _run_to_file, (job, outcome), _expected_frames(job)) for job, outcome in zip(jobs, outcomes, strict=True)
        ]
        with contextlib.suppress(InputError), Crew(min(workers, len(jobs))) as crew:
            for first in range(0, len(stages), _AT_ONCE):
                crew.run(stages[first : first + _AT_ONCE])
        for stage, outcome in zip(stages, outcomes, strict=True):
            if not outcome.exists():  # a worker died, and the others with it: alone each shows whether it was the one
                _run_alone(stage, outcome)
        return [_read(outcome) for outcome in outcomes]


def _run_alone(stage: Stage, outcome: Path) -> None:
    try:
        with Crew(1) as crew:
            crew.run([stage])
    except InputError as error:
        _leave(outcome, Prepared(problem=str(error)))


def _run_to_file(job: Job, outcome: Path, tick: Callable[[int], None]) -> None:
    """A stage's result is only its time, so what became of the job is left in a file."""
    try:
        done = run_job(job, lambda seen, _total: tick(seen))
    except InputError as error:
        done = Prepared(problem=" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the user the other videos
        problem = memory_problem(error) or (str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}")
        done = Prepared(problem=" ".join(problem.split()))
    _leave(outcome, done)


def _leave(outcome: Path, done: Prepared) -> None:
    write_text(outcome, json.dumps({"clips": done.clips, "problem": done.problem}))


def _read(outcome: Path) -> Prepared:
    kept = json.loads(outcome.read_text())
    return Prepared(tuple((folder, frames) for folder, frames in kept["clips"]), kept["problem"])


def _expected_frames(job: Job) -> int:
    """What the progress bar counts up to: the frames to look at, or 1 where that is not known."""
    if not job.source.is_file():
        return 1
    try:
        frames = expected_frames(job.source) or 1
    except (InputError, OSError):  # said by the job itself
        return 1
    return min(-(-frames // job.every), job.max_frames or frames)
