"""run_demo: draw people, learn to learn from them, score it on unseen people, then bring a real person to life."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metapix.data.bundled import bundled_videos
from metapix.demo import real_person, scoring, stages
from metapix.demo.crew import Crew, Stage
from metapix.demo.settings import DemoSettings
from metapix.demo.verdict import verdict
from metapix.errors import InputError
from metapix.files import read_json, write_text
from metapix.report import build_report

logger = logging.getLogger(__name__)

Group = list[tuple[Stage, list[Path]]]
"""Stages that may run side by side, each with the files that show it is done."""


def run_demo(settings: DemoSettings, run_dir: Path, workers: int = 2) -> dict[str, Any]:
    """Run what is not there yet of the demo, write the report, and return the results.

    Args:
        settings: what to do; a folder holds the results of one setting only.
        run_dir: ``results.json``, ``report.html``, ``retarget.mp4``, the starts and the prepared clips go here.
        workers: processes at work at once.

    Raises:
        InputError: when the folder cannot be written or holds something else, or the packaged clips are not there.
    """
    bundled_videos()  # before minutes of training, not after
    claim_folder(run_dir, settings)
    for name in ("pictures", "scores", "clips", "models"):
        (run_dir / name).mkdir(exist_ok=True)
    seconds_file = run_dir / "seconds.json"
    seconds = read_json(seconds_file, dict) if seconds_file.exists() else {}
    with Crew(workers) as crew:
        for group in _groups(settings, run_dir):
            missing = [stage for stage, made in group if not all(path.exists() for path in made)]
            if missing:
                seconds.update(crew.run(missing))
                write_text(seconds_file, json.dumps(seconds, indent=1))
    rows = [*scoring.all_rows(settings, run_dir), *read_json(real_person.scores_file(run_dir), list)]
    results = {
        "settings": settings.as_dict(),
        "rows": rows,
        "stages": [{"name": name, "seconds": value} for name, value in seconds.items()],
        "people": _people(settings),
        "curves": scoring.curves(rows, settings.curve),
        "strips": [real_person.strip(), *scoring.strips(settings, run_dir)],
        "videos": [real_person.describe_video(settings, run_dir)],
        "verdict": f"{verdict(rows)} {real_person.verdict(run_dir)}".strip(),
    }
    write_text(run_dir / "results.json", json.dumps(results, indent=1))
    build_report(run_dir)
    return results


def claim_folder(run_dir: Path, settings: DemoSettings) -> None:
    """Make the run folder, or make sure that it holds a run of these settings.

    Raises:
        InputError: when it cannot be written, holds a run of other settings (with the first difference), or something else.
    """
    file = run_dir / "settings.json"
    # A round trip through JSON, so that tuples and numbers compare as what the file gives back.
    mine = json.loads(json.dumps(settings.as_dict()))
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            if any(run_dir.iterdir()):
                raise InputError(f"{run_dir} holds something that is not a run of this demo; give an empty or new folder with --out")
            write_text(file, json.dumps(mine, indent=1))
            return
    except OSError as error:
        raise InputError(f"cannot write to {run_dir}: {error.strerror or error}; give another folder with --out") from error
    theirs = read_json(file, dict, "give another folder with --out, or move that one away")
    differences = [
        f"{key} is {theirs.get(key)!r} there and {mine.get(key)!r} here" for key in {**theirs, **mine} if theirs.get(key) != mine.get(key)
    ]
    if differences:
        raise InputError(
            f"{run_dir} holds a run of other settings ({differences[0]}{', ...' if len(differences) > 1 else ''}); "
            "give another folder with --out, or move that one away"
        )


def _groups(settings: DemoSettings, run_dir: Path) -> Iterator[Group]:
    """One group after the other: which pictures the scores come with is known once the people are drawn."""
    people = settings.training_people + settings.unseen_people
    clips = stages.real_clips(settings)
    steps = settings.meta_iterations * settings.steps
    scored = settings.unseen_people + len(settings.scored_clips)
    people_of_their_own = real_person.personalised_people(settings)

    def named(model: str) -> str:
        return f", {scoring.TITLES[model]}" if len(settings.models) > 1 else ""

    def stage(name: str, run: Any, ticks: int, *extra: Any) -> Stage:
        return Stage(name, run, (settings, run_dir, *extra), ticks)

    yield [(stage("draw people", stages.draw_people, people), [run_dir / "people.safetensors"])]
    pretraining = [
        (
            stage(f"pretrain{named(model)}", stages.pretrain, settings.pretrain_steps, model),
            [stages.start_file(run_dir, model, init) for init in ("random", "pretrain")],
        )
        for model in settings.models
    ]
    finding = (
        stage("find the person in real clips", stages.prepare_real, settings.real_frames * len(clips)),
        [run_dir / "clips" / name / "manifest.json" for name in clips],
    )
    yield [*pretraining, finding]
    made = {name: scoring.made_files(settings, run_dir, name) for name in scoring.score_names(settings)}

    def training(what: str, run: Any, model: str, init: str) -> tuple[Stage, list[Path]]:
        return stage(f"{what}{named(model)}", run, steps, model), [stages.start_file(run_dir, model, init)]

    def scoring_of(model: str, init: str) -> tuple[Stage, list[Path]]:
        what = f"personalise and score {init}{named(model)}"
        return stage(what, scoring.score_start, scored, model, init), made[f"{stages.prefix(model)}{init}"]

    # The rivals take longest, so they begin together; who is done early has what needs neither of them to go on with.
    yield [
        *(
            rival
            for model in settings.models
            for rival in (
                training("pretrain further (the fair baseline)", stages.pretrain_further, model, "pretrain-equal-steps"),
                training("meta-train (MetaPix)", stages.meta_train, model, "metapix"),
            )
        ),
        (
            stage("personalise the shipped start", real_person.personalize_people, len(people_of_their_own)),
            [real_person.scores_file(run_dir), *(real_person.model_file(run_dir, name) for name in people_of_their_own)],
        ),
        (stage("score what learns nothing", scoring.score_untrained, 1), [file for init in scoring.UNTRAINED for file in made[init]]),
        *(scoring_of(model, init) for model in settings.models for init in ("random", "pretrain")),
    ]
    yield [scoring_of(model, init) for model in settings.models for init in ("pretrain-equal-steps", "metapix")]
    video = [run_dir / "retarget.mp4", *real_person.pictures(run_dir)]
    yield [(stage("retarget the real person", real_person.retarget_video, settings.real_frames), video)]


def _people(settings: DemoSettings) -> list[dict[str, str]]:
    roles: dict[str, list[str]] = {}
    for name in stages.real_clips(settings):
        is_role = {"the person who is retargeted": settings.target, "the driver, whose moves are used": settings.driver}
        roles[name] = [role for role, clip in is_role.items() if clip == name]
        if name in settings.scored_clips:
            roles[name].append("scored in the table")
    return [
        {"name": f"{settings.training_people} drawn people", "kind": "drawn", "role": "trained on"},
        {"name": f"{settings.unseen_people} other drawn people", "kind": "drawn", "role": "unseen in training; scored in the table"},
        {
            "name": "multi-cam01, multi-cam02",
            "kind": "real",
            "role": "the start that ships learned from them; other views of multi-cam04's person",
        },
        *({"name": name, "kind": "real", "role": f"a clip unseen in any training; {'; '.join(role)}"} for name, role in roles.items()),
    ]
