"""A whole small reproduction with two bad videos among its three: what comes out, what is kept, and what the browser shows."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from metapix.cli import main
from metapix.data.drawn import draw_clip
from metapix.data.folder import write_clip
from metapix.data.video import read_video
from metapix.errors import InputError
from metapix.evaluation.frame_scores import read_rows, summarise
from metapix.evaluation.reproduce.jobs import all_jobs
from metapix.evaluation.reproduce.story import Order, collect_reproduction, prepare, run_reproduction
from metapix.evaluation.reproduce.suite import Suite
from metapix.evaluation.train_start import start_file
from metapix.report import build_report

import gan_meta as gm
from gan_meta.distributed import ALONE
from tests.metapix.test_report import browser

SMALL = Suite(
    "demo",
    changes=(
        "recipe.size=32", "model.base_channels=4", "model.n_downsample=1", "model.n_blocks=1", "model.discriminator_channels=4",
        "recipe.perceptual=", "pretrain.steps=2", "meta_train.iterations=2",
    ),
    shots=2,
    steps=2,
    ablation_steps=2,
    snapshots=(0, 1, 2),
    epochs=0.5,
    seeds=1,
)  # fmt: skip


BOTH = dataclasses.replace(
    SMALL,
    models=("pix2pixhd", "posewarp"),
    changes=("recipe.perceptual=", "pretrain.steps=2", "meta_train.iterations=2"),
    changes_of={
        "pix2pixhd": ("recipe.size=32", *(change for change in SMALL.changes if change.startswith("model."))),
        "posewarp": ("recipe.size=64", "model.base_channels=4"),
    },
)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    clips = {"train/a": (1, 6), "train/b": (2, 6), "test/good": (3, 16), "test/short": (4, 1), "test/damaged": (5, 16)}
    for name, (seed, frames) in clips.items():
        (root / name).parent.mkdir(exist_ok=True)
        write_clip(dataclasses.replace(draw_clip(seed, frames, 32, fps=6), name=Path(name).name), root / name)
    (root / "test/damaged/frames/000015.png").write_bytes(b"not a picture")
    return root


def order(people: Path, out: Path, parts: tuple[str, ...] = ("table1", "fig7")) -> Order:
    return Order(SMALL, parts, out, 0, (people / "train",), (people / "test",), 1)


def silent(_done: int, _total: int, _name: str) -> None:
    return


@pytest.fixture(scope="module")
def run(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    run_reproduction(order(people, out), ALONE, silent)
    return out


@pytest.fixture(scope="module")
def results(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "results.json").read_text())
    return content


def test_every_line_is_there_beside_the_papers(results: dict[str, Any]) -> None:
    lines = [(line["part"], line["init"], line["K"], line["T"]) for line in results["lines"]]
    few = [("random", 2, 2), ("pretrain", 2, 2), ("pretrain-equal-steps", 2, 2), ("metapix", 2, 2)]
    table = [("random", "all", "all"), ("pretrain", "all", "all"), *few, ("nearest-frame", 2, 0), ("puppet", 2, 0)]
    figure = [("pretrain", 2, 2), ("metapix", 2, 2), ("pretrain", 2, 0), ("metapix", 2, 0)]
    assert lines == [("table1", *row) for row in table] + [("fig7", *row) for row in figure]
    assert results["lines"][1]["paper"] == {"ssim": 0.69, "psnr": 19.31, "mse": 2673.4}
    assert [video["name"] for row in results["rows"] for video in row["videos"]] == ["good"] * 8


RANK = """
import sys
from pathlib import Path
from gan_meta.distributed import connect
from metapix.evaluation.reproduce.story import run_reproduction
from tests.metapix.evaluation.test_reproduce import order, silent

if __name__ == "__main__":
    with connect() as world:
        assert world.size == 2
        run_reproduction(order(Path(sys.argv[1]), Path(sys.argv[2])), world, silent)
"""


def test_two_processes_of_torchrun_share_the_cells_and_come_to_the_same(
    people: Path, run: Path, results: dict[str, Any], tmp_path: Path
) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([*launcher, script, people, tmp_path / "out"], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    shared = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [shared[part] for part in ("lines", "claims", "holes")] == [results[part] for part in ("lines", "claims", "holes")]
    assert {file.name for file in (tmp_path / "out" / "cells").iterdir()} == {file.name for file in (run / "cells").iterdir()}


def test_bad_videos_are_named_and_the_rest_goes_on(results: dict[str, Any]) -> None:
    holes = {hole["what"]: hole["why"] for hole in results["holes"]}
    assert "has 1 frames; it takes at least 2" in holes["short"]
    damaged = [why for what, why in holes.items() if "damaged, seed 0" in what]
    assert len(damaged) == 12
    assert all("000015.png" in why for why in damaged)
    assert all(line["done"] == line["cells"] // 2 for line in results["lines"])
    assert {claim["verdict"] for claim in results["claims"]} == {"undecided"}, "one video decides nothing"


def test_the_aggregates_follow_from_the_frames(run: Path, results: dict[str, Any]) -> None:
    with (run / "scores.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == len(results["lines"])
    for cell, line in zip(cells, results["lines"], strict=True):
        summary = summarise(read_rows(run / "cells" / f"{cell['cell']}.csv"))
        for name in ("ssim", "psnr", "mse", "flicker", "change_error", "person_ssim"):
            assert float(cell[name]) == pytest.approx(summary[name], rel=1e-6)
            assert line[name] == pytest.approx(summary[name], rel=1e-6)
        assert int(cell["frames"]) == 16 - int(16 * 0.85)
    assert "not computed: weights missing" in (run / "results.md").read_text()


def test_steps_of_zero_leave_the_start_as_it_is(results: dict[str, Any]) -> None:
    untouched = [line for line in results["lines"] if line["T"] == 0 and line["init"] in ("pretrain", "metapix")]
    adapted = [line for line in results["lines"] if line["part"] == "fig7" and line["T"] == 2]
    assert all(math.isfinite(line["psnr"]) for line in untouched + adapted)
    assert untouched[0]["psnr"] != adapted[0]["psnr"]


def test_what_is_done_is_put_together_at_any_time_and_the_rest_is_named(people: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no reproduction to collect"):
        collect_reproduction(order(people, tmp_path / "nothing"))
    copy = shutil.copytree(run, tmp_path / "copy")
    with (run / "scores.csv").open(newline="") as file:
        cells = [cell for cell in csv.DictReader(file) if cell["part"] == "table1"]
    (copy / "cells" / f"{next(cell for cell in cells if cell['init'] == 'puppet')['cell']}.json").unlink()
    found = collect_reproduction(order(people, copy, ("table1", "objective")))
    holes = {hole["what"]: hole["why"] for hole in found["holes"]}
    # Each video has 8 cells in Table 1, of which the objective's first line shares one, and 3 of its own; "damaged" has none.
    assert holes["table1"] == "9 of 16 cells are not done; the same command goes on"
    assert holes["objective"] == "7 of 8 cells are not done; the same command goes on"
    assert "Some of it is missing." in found["verdict"]
    spent = sum(float(cell["cpu_seconds"]) for cell in cells if cell["init"] != "puppet")
    assert found["spent"]["scoring_cpu_seconds"] == pytest.approx(spent, abs=0.1), "a cell that two parts share counts once"
    assert json.loads((copy / "results.json").read_text())["holes"] == found["holes"]


def test_a_second_run_does_only_what_failed(people: Path, run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    times = {path: path.stat().st_mtime_ns for path in (copy / "cells").iterdir()}
    plan = prepare(order(people, copy), ALONE, silent)
    left = [job for job in all_jobs(plan.workshop, plan.entries, plan.videos, range(1)) if not job.made.is_file()]
    assert {job.name.split(", ")[-2] for job in left} == {"damaged"}
    assert {path: path.stat().st_mtime_ns for path in (copy / "cells").iterdir()} == times


def test_the_same_seed_gives_the_same_scores(people: Path, run: Path, results: dict[str, Any], tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    cell = next(path for path in (copy / "cells").glob("*.json") if '"init": "metapix"' in path.read_text())
    before = cell.with_suffix(".csv").read_bytes()
    cell.unlink()
    again = run_reproduction(order(people, copy), ALONE, silent)
    assert cell.with_suffix(".csv").read_bytes() == before
    assert [line["ssim"] for line in again["lines"]] == [line["ssim"] for line in results["lines"]]


def test_a_missing_start_is_trained_again_and_another_in_its_place_is_refused(people: Path, run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    first, second, *_ = sorted((copy / "starts").glob("*.safetensors"))
    shutil.copy(first, second)
    for cell in (copy / "cells").glob("*.json"):
        cell.unlink()
    results = run_reproduction(order(people, copy, ("table1",)), ALONE, silent)
    assert any("is another start than its name says" in hole["why"] for hole in results["holes"])
    assert any(line["done"] for line in results["lines"])


def test_a_folder_of_another_setting_or_of_something_else_is_refused(people: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds a reproduction with test = \['test'\], not \['train'\]"):
        prepare(dataclasses.replace(order(people, run), test=(people / "train",)), ALONE, silent)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="holds something that is not a reproduction"):
        prepare(order(people, tmp_path), ALONE, silent)


def test_table_1_has_the_rows_of_both_models_and_claims_of_each(people: Path, tmp_path: Path) -> None:
    test = people / "test/good"
    results = run_reproduction(Order(BOTH, ("table1",), tmp_path, 0, (people / "train",), (test,), 1), ALONE, silent)
    rows = [(line["model"], line["size"]) for line in results["lines"] if line["done"]]
    assert rows == [("Pix2PixHD", 32)] * 6 + [("none", 32)] * 2 + [("Posewarp", 64)] * 6
    assert not results["holes"]
    posewarps = {(line["init"], line["T"]): line["paper"].get("ssim") for line in results["lines"] if line["model"] == "Posewarp"}
    assert posewarps[("pretrain", "all")] == 0.58
    assert ("random", "all") in posewarps, "a row that the paper has not"
    assert posewarps[("random", "all")] is None
    claims = [(claim["model"], claim["text"].partition(": ")[0]) for claim in results["claims"]]
    assert claims == [("Pix2PixHD", "Pix2PixHD")] * 4 + [("Posewarp", "Posewarp")] * 4
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for told in ("Posewarp, 64\u00a0×\u00a064, K\u00a0=\u00a0all", "<strong>Undecided:</strong> Posewarp: MetaPix is better"):
        assert told in page
    (shown,) = results["videos"]
    order = "real, Pix2PixHD pretrained, Pix2PixHD MetaPix, Posewarp pretrained, Posewarp MetaPix, puppet"
    assert shown["caption"].startswith(f"From left to right: {order};")
    frames = [frame.image.shape for frame in read_video(tmp_path / shown["file"])]
    assert frames == [(192, 6 * 192, 3)] * 3, "32 and 64 pixels, at one size"
    assert "| MetaPix | Posewarp, 64 × 64 | 2 | 2 |" in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_a_given_start_takes_the_place_of_pretraining(people: Path, run: Path, tmp_path: Path) -> None:
    plan = prepare(order(people, run), ALONE, silent)
    entry = next(entry for entry in plan.entries if entry.init == "pretrain")
    file = start_file(plan.workshop.starts, plan.workshop.start(entry, 0))
    given = dataclasses.replace(plan.workshop, given={"pix2pixhd": file}, out=tmp_path)
    assert given.start(entry, 0).digest != plan.workshop.start(entry, 0).digest
    (job,) = given.training_jobs(entry, 0)
    job.run(*job.arguments)
    taken, original = (gm.load_pair(path) for path in (job.made, file))
    assert all(torch.equal(a, b) for a, b in zip(taken.parameters(), original.parameters(), strict=True))


PROBE = """<!DOCTYPE html><meta charset="utf-8"><iframe src="report.html" width="390" height="844" style="border: 0"></iframe>
<script>addEventListener("load", async () => {
  const frame = document.querySelector("iframe").contentWindow, page = frame.document;
  const videos = [...page.querySelectorAll("video")];
  await Promise.all(videos.map(v => new Promise(done => { v.readyState >= 2 || v.error ? done() : (v.onloadeddata = v.onerror = done); })));
  const rows = [...page.querySelectorAll("table[data-part=table1] tbody tr")];
  const folded = page.documentElement.scrollWidth;
  page.querySelectorAll("details").forEach(one => { one.open = true; });
  document.title = JSON.stringify({
    images: [...page.images].filter(i => i.naturalWidth !== 32).length, count: page.images.length,
    alts: [...page.images].filter(i => !i.alt).length,
    videos: videos.map(v => [v.videoWidth, v.videoHeight, v.getAttribute("aria-label")]),
    ssim: rows.map(r => r.querySelectorAll("td")[0].firstChild.textContent.trim()),
    wide: [folded, page.documentElement.scrollWidth], window: frame.innerWidth });
});</script>"""


def test_the_report_opens_in_a_browser_with_the_numbers_of_results_json(run: Path, results: dict[str, Any], tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    source = build_report(folder).read_text(encoding="utf-8")
    assert "http://" not in source.replace("http://www.w3.org", "")
    probe = folder / "probe.html"
    probe.write_text(PROBE, encoding="utf-8")
    shown = browser(tmp_path, probe, "--dump-dom", "--allow-file-access-from-files")
    title = re.search(r"<title>(\{.*?\})</title>", shown.stdout)
    assert title, shown.stderr
    seen = json.loads(title.group(1))
    assert (seen["images"], seen["alts"], seen["count"]) == (0, 0, 2 * 3 * 4), "two starts, three poses, the truth and three steps"
    assert seen["videos"] == [[4 * 160, 160, "good:"]], "the truth, two starts and the puppet, each enlarged from 32 pixels"
    assert seen["ssim"] == [f"{line['ssim']:.3f}" for line in results["lines"] if line["part"] == "table1"]
    assert (seen["wide"], seen["window"]) == ([390, 390], 390), "the page must not scroll sideways on a phone"
    assert "CONSOLE" not in shown.stderr, shown.stderr
    for words in ("Undecided:", "weights missing", "it takes at least 2", "Figure 7", f"torch {version('torch')}", "seed 0"):
        assert words in source


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "pape"], "unknown preset 'pape'"),
        (["--only", "table2"], "unknown part 'table2'"),
        (["--preset", "paper"], "needs videos: name them with --train and --test"),
        (["--train", "nowhere"], "name both"),
        (["--train", "nowhere", "--test", "nowhere"], "there is no clip folder and no video at nowhere"),
        (["--select", "evenly"], "unknown selection 'evenly'"),
        (["--start", "posewarp"], "names no start: write model=file"),
        (["--start", "pix2pixhd=nowhere"], "there is no start at nowhere"),
        (["--model", "posewrap"], "unknown model 'posewrap'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["metapix", "reproduce", "--out", str(tmp_path / "out"), *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert words in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
