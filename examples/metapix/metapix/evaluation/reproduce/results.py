"""The results of a reproduction as files: ``results.json``, ``scores.csv`` with a line a cell, ``results.md`` and ``report.html``."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from metapix.evaluation.frame_scores import HIGHER_IS_BETTER
from metapix.evaluation.reproduce.figures import curves, strips
from metapix.evaluation.reproduce.gathering import Line, gather
from metapix.evaluation.reproduce.jobs import Workshop, all_jobs, cells_of
from metapix.evaluation.reproduce.markdown import markdown
from metapix.evaluation.reproduce.paper_claims import CLAIMS
from metapix.evaluation.reproduce.plans import NO_MODEL, TITLES, Entry
from metapix.evaluation.reproduce.shown import shown_videos
from metapix.evaluation.train_start import start_file, time_spent
from metapix.evaluation.videos import TestVideo
from metapix.files import write_text
from metapix.report import build_report
from metapix.report.words import PAPER_TABLE_1

_PACKAGES = ("gan-meta", "metapix", "torch", "torchvision", "numpy", "piq", "mediapipe", "opencv-contrib-python")


def write_results(
    workshop: Workshop,
    entries: Sequence[Entry],
    videos: Sequence[TestVideo],
    seeds: Sequence[int],
    parts: Sequence[str],
    problems: Mapping[str, str],
) -> dict[str, Any]:
    """Put together what is done, with its holes, and write all files; returns the contents of ``results.json``.

    Raises:
        InputError: when a cell's file is damaged.
        OSError: when a file cannot be written.
    """
    lines = gather(workshop, entries, videos, seeds)
    claims = [claim for part in parts if part in CLAIMS for claim in _claims(part, [line for line in lines if line.entry.part == part])]
    results: dict[str, Any] = {
        "settings": _settings(workshop, seeds, parts, videos),
        "rows": [_row(line, videos) for line in lines if line.entry.part == "table1" and line.scores],
        "lines": [_line(line, workshop, videos) for line in lines],
        "claims": claims,
        "holes": [{"what": what, "why": why} for what, why in problems.items()] + _unfinished(workshop, lines, videos, seeds, problems),
        "not_computed": _not_computed(workshop, lines),
        "spent": _spent(workshop, entries, videos, seeds),
        "people": _people(workshop, videos),
        "curves": curves(lines),
        "strips": strips(workshop, entries, videos),
        "videos": shown_videos(workshop, entries, videos),
        "verdict": _verdict(claims, lines, len(videos), len(seeds)),
    }
    out = workshop.out
    write_text(out / "scores.csv", _scores(workshop, entries, videos, seeds))
    write_text(out / "results.md", markdown(results))
    write_text(out / "results.json", json.dumps(results, indent=1))
    build_report(out)
    return results


def _claims(part: str, lines: Sequence[Line]) -> list[dict[str, Any]]:
    """A part's claims, model by model; where there are several, each claim says of which it is."""
    models = list(dict.fromkeys(line.entry.model for line in lines if line.entry.model != NO_MODEL))
    found = []
    for model in models:
        for claim in CLAIMS[part](lines, model):
            described = {"model": TITLES.get(model, model), **claim.describe()}
            found.append(described | {"text": f"{described['model']}: {claim.text}"} if len(models) > 1 else described)
    return found


def _line(line: Line, workshop: Workshop, videos: Sequence[TestVideo]) -> dict[str, Any]:
    size = workshop.cell(line.entry, videos[0], 0).protocol.size
    return {**line.describe(), "model": _title(line), "size": size, "paper": _paper(line), "videos": line.videos()}


def _row(line: Line, videos: Sequence[TestVideo]) -> dict[str, Any]:
    """A line as ``metapix evaluate`` writes rows."""
    kinds = {video.kind for video in videos}
    row = line.describe()
    return {
        "model": _title(line), "init": row["init"], "K": row["K"], "T": row["T"],
        "data": kinds.pop() if len(kinds) == 1 else "drawn and real", "reference": "none",
        **{name: row[name] for name in ("ssim", "psnr", "mse", "temporal_std", "person_psnr") if name in row},
        "videos": line.videos(),
    }  # fmt: skip


def _paper(line: Line) -> dict[str, float]:
    """The paper's numbers for the same row of Table 1."""
    if line.entry.part != "table1":
        return {}
    mine = (_title(line), line.entry.init, str(line.entry.shots), str(line.entry.steps))
    for model, init, shots, steps, *scores in PAPER_TABLE_1:
        if (model, init.lower(), shots, steps) == mine:
            return dict(zip(("ssim", "psnr", "mse"), map(float, scores), strict=True))
    return {}


def _title(line: Line) -> str:
    return TITLES.get(line.entry.model, line.entry.model)


def _unfinished(
    workshop: Workshop, lines: Sequence[Line], videos: Sequence[TestVideo], seeds: Sequence[int], problems: Mapping[str, str]
) -> list[dict[str, str]]:
    """Parts that lack cells for a reason that is not named already: a run that was cut short, or is still going on."""
    named = {job.made for job in all_jobs(workshop, [line.entry for line in lines], videos, seeds) if job.name in problems}
    found = []
    for part in dict.fromkeys(line.entry.part for line in lines):
        mine = [line.entry for line in lines if line.entry.part == part]
        files = {workshop.cache.result_file(cell) for entry in mine for cell, _ in cells_of(entry, workshop, videos, seeds)}
        lacking = sum(not file.is_file() and file not in named for file in files)
        if lacking:
            found.append({"what": part, "why": f"{lacking} of {len(files)} cells are not done; the same command goes on"})
    return found


def _not_computed(workshop: Workshop, lines: Sequence[Line]) -> dict[str, str]:
    missing = dict(next((line.not_computed for line in lines if line.done), {}))
    if workshop.suite.pose_frames == 0:
        missing |= dict.fromkeys(("pck", "joint_error"), "the preset estimates no poses")
    return missing


def _spent(workshop: Workshop, entries: Sequence[Entry], videos: Sequence[TestVideo], seeds: Sequence[int]) -> dict[str, float]:
    """CPU seconds of the starts and the cells that are there; what several parts share counts once."""
    starts = {start_file(workshop.starts, workshop.start(entry, seed)) for entry in entries for seed in seeds}
    training = sum(time_spent(file).get("cpu_seconds", 0.0) for file in starts if file.is_file())
    cells = {cell.digest: cell for entry in entries for cell, _ in cells_of(entry, workshop, videos, seeds)}
    scoring = sum(result["cpu_seconds"] for cell in cells.values() if (result := workshop.cache.read(cell)) is not None)
    return {"training_cpu_seconds": round(training, 1), "scoring_cpu_seconds": round(scoring, 1)}


def _settings(workshop: Workshop, seeds: Sequence[int], parts: Sequence[str], videos: Sequence[TestVideo]) -> dict[str, Any]:
    suite = workshop.suite
    presets = {model: suite.training_preset(model).as_dict() for model in suite.models}
    versions = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    test = {video.name: {"kind": video.kind, "frames": video.frames} for video in videos}
    return {"parts": list(parts), "seeds": list(seeds), "suite": suite.as_dict(), "training": presets, "test": test, "versions": versions}


def _people(workshop: Workshop, videos: Sequence[TestVideo]) -> list[dict[str, str]]:
    trained = [{"name": f"{len(workshop.training)} clips or folders", "kind": "", "role": "trained on"}]
    return trained + [{"name": video.name, "kind": video.kind, "role": "unseen in training; scored"} for video in videos]


def _verdict(claims: Sequence[Mapping[str, Any]], lines: Sequence[Line], videos: int, seeds: int) -> str:
    """In a few sentences: how many claims hold, which do not, on how much, and whether it is all there."""
    told = []
    if claims:
        found = [sum(claim["verdict"] == name for claim in claims) for name in ("holds", "does not hold", "undecided")]
        told.append(f"Claims: {found[0]} hold here, {found[1]} do not, {found[2]} undecided.")
    told += [f"Does not hold: {claim['text']}." for claim in claims if claim["verdict"] == "does not hold"]
    told.append(f"Scored on {videos} video{'s' if videos > 1 else ''} with {seeds} seed{'s' if seeds > 1 else ''}.")
    if any(line.done < line.cells for line in lines):
        told.append("Some of it is missing.")
    return " ".join(told)


def _scores(workshop: Workshop, entries: Sequence[Entry], videos: Sequence[TestVideo], seeds: Sequence[int]) -> str:
    """A line a cell."""
    head = ["part", "variant", "cell", "model", "init", "meta_K", "meta_T", "changes", "K", "T", "video", "seed", "frames", "cpu_seconds"]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*head, *HIGHER_IS_BETTER], restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for entry in entries:
        for cell, _video in cells_of(entry, workshop, videos, seeds):
            result = workshop.cache.read(cell)
            if result is not None:
                writer.writerow({"part": entry.part, "variant": entry.variant, **result, **result["scores"]})
    return text.getvalue()
