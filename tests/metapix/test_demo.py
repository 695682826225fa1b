"""The whole demo at a tiny size: real clips, real processes, every file it leaves behind."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from metapix.data.bundled import bundled_videos
from metapix.data.drawn import draw_clip
from metapix.data.folder import read_clip
from metapix.data.video import probe, read_video
from metapix.demo import DemoSettings, run_demo
from metapix.demo.stages import load_people
from metapix.demo.story import claim_folder
from metapix.demo.table import print_results
from metapix.errors import InputError
from metapix.evaluate import evaluate_nearest, evaluate_puppet, evaluate_start
from metapix.performer import load_performer
from metapix.puppet.puppet import Puppet
from metapix.tasks import split
from safetensors.torch import load

import gan_meta as gm

TINY = DemoSettings(
    size=32,
    training_people=3,
    training_frames=12,
    unseen_people=2,
    unseen_frames=14,
    base_channels=4,
    n_blocks=1,
    discriminator_channels=4,
    perceptual=None,
    pretrain_steps=4,
    meta_iterations=2,
    steps=2,
    real_frames=16,
    adapt_steps=5,
    video_size=64,
    target="single-cam01",
    driver="single-cam03",
    driver_rank=0,
    scored_clips=("single-cam01",),
)
STARTS = {"random": "random", "pretrain": "pretrained", "pretrain-equal-steps": "equal-steps", "metapix": "theta"}
INITS = {*STARTS, "nearest-frame"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one finished run."""
    folder = tmp_path_factory.mktemp("demo") / "runs" / "tiny"
    run_demo(TINY, folder, workers=1)
    return folder


def results_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "results.json").read_text())
    return content


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_files_are_there_and_nothing_else(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    starts = {f"{name}.safetensors" for name in ("people", "random", "pretrained", "equal-steps", "theta")}
    shown = {"results.json", "report.html", "retarget.mp4", "settings.json", "seconds.json"}
    assert names == starts | shown | {"pictures", "scores", "clips", "models"}
    assert {path.stem for path in (run / "scores").iterdir()} == {*INITS, "puppet", "shipped-start"}
    assert {path.name for path in (run / "models").iterdir()} == {"single-cam01.safetensors"}
    assert {path.name for path in (run / "clips").iterdir()} == {"single-cam01", "single-cam03"}
    shown = {name for strip in results_of(run)["strips"] for row in strip["rows"] for name in row}
    assert {f"pictures/{path.name}" for path in (run / "pictures").iterdir()} == shown
    assert len(shown) >= 3 * 6
    assert not list(run.rglob(".*"))


def test_results_have_the_contracted_keys(run: Path) -> None:
    results = results_of(run)
    assert results["settings"] == json.loads(json.dumps(TINY.as_dict()))
    for data in ("drawn", "real"):
        assert {row["init"] for row in results["rows"] if row["data"] == data} >= INITS
    for row in results["rows"]:
        assert {"model", "init", "K", "T", "ssim", "psnr", "mse", "temporal_std", "videos"} <= set(row)
        assert row["K"] == 5
        if row["reference"] == "none":
            assert row["T"] == (2 if row["init"] in STARTS else 0)
        assert [video["frames"] for video in row["videos"]] == ([3, 3] if row["data"] == "drawn" else [3])
        for score in ("ssim", "psnr", "mse"):
            values = [video[score] for video in row["videos"]]
            assert row[score] == pytest.approx(sum(values) / len(values))
            assert math.isfinite(row[score])
    on_puppets = [(row["data"], row["init"], row["T"]) for row in results["rows"] if row["reference"] == "puppet"]
    assert on_puppets == [("real", "nearest-frame", 0), ("real", "puppet", 0), ("real", "pretrain", 0), ("real", "pretrain", 5)]
    assert {stage["name"] for stage in results["stages"]} >= {"draw people", "pretrain", "meta-train (MetaPix)"}
    assert [video["file"] for video in results["videos"]] == ["retarget.mp4"]
    assert "MetaPix is" in results["verdict"]
    assert "personalising the start that ships on top of the puppet" in results["verdict"]
    assert "Neither clip was in any training." in results["videos"][0]["caption"]


def test_rows_are_what_one_finds_by_hand(run: Path) -> None:
    _, unseen = load_people(TINY, run)
    real = [read_clip(run / "clips" / "single-cam01").resized(32)]
    rows = {(row["data"], row["init"]): row for row in results_of(run)["rows"] if row["reference"] == "none"}
    for data, clips in (("drawn", unseen), ("real", real)):
        for video, known in zip(evaluate_nearest(clips, 5), rows[data, "nearest-frame"]["videos"], strict=True):
            assert video == {name: pytest.approx(value) for name, value in known.items()}
        for init, file in STARTS.items():
            start = gm.load_pair(run / f"{file}.safetensors")
            again = evaluate_start(start, clips, TINY.build_objective(), TINY.build_inner(), 5, seed=TINY.seed)
            for video, known in zip(again, rows[data, init]["videos"], strict=True):
                assert video["psnr"] == pytest.approx(known["psnr"], abs=0.01)
                assert video["name"] == known["name"]


def test_the_real_person_is_never_worse_than_its_puppet_by_more_than_its_strength_allows(run: Path) -> None:
    # The model in the folder draws what its row says; at strength 0 that is the puppet itself, to the 8 bits that are scored.
    rows = {(row["init"], row["T"]): row for row in results_of(run)["rows"] if row["reference"] == "puppet"}
    personalised, puppet = rows["pretrain", 5]["videos"][0], rows["puppet", 0]["videos"][0]
    performer = load_performer(run / "models" / "single-cam01.safetensors")
    assert performer.choice == {"steps": personalised["steps"], "strength": personalised["strength"]}
    rest = split(read_clip(run / "clips" / "single-cam01"))[1]
    again = evaluate_puppet([read_clip(run / "clips" / "single-cam01").resized(64)], 5)[0]
    assert again["psnr"] == pytest.approx(puppet["psnr"])
    if performer.choice["strength"] == 0:
        assert personalised["psnr"] == pytest.approx(puppet["psnr"], abs=1e-6)
        drawn = torch.cat(list(performer.perform(rest.joints, rest.boxes)))
        torch.testing.assert_close(drawn, Puppet(performer.shots).render(rest.joints, rest.boxes).image, rtol=0, atol=1e-5)


def test_people_in_training_are_not_those_in_the_table(run: Path) -> None:
    training, unseen = load_people(TINY, run)
    names = [clip.name for clip in (*training, *unseen)]
    assert len(set(names)) == 5
    assert [len(clip) for clip in (*training, *unseen)] == [12] * 3 + [14] * 2
    again = draw_clip(int(unseen[0].name.removeprefix("drawn-")), 14, 32, fps=unseen[0].fps)
    assert torch.equal(again.frames, unseen[0].frames)
    assert torch.equal(again.joints, unseen[0].joints)


def test_each_stage_moved_the_weights(run: Path) -> None:
    weights = [gm.load_pair(run / f"{name}.safetensors").state_dict() for name in ("random", "pretrained", "equal-steps", "theta")]
    for first in range(4):
        for second in range(first):
            for player in ("generator", "discriminator"):
                moved = [not torch.equal(weights[first][name], weights[second][name]) for name in weights[0] if name.startswith(player)]
                assert any(moved), (first, second, player)


def test_the_video_has_a_frame_of_panels_for_each_frame_of_the_driver(run: Path) -> None:
    driver, target = (read_clip(run / "clips" / name) for name in ("single-cam03", "single-cam01"))
    info = probe(run / "retarget.mp4")
    assert (info.width % 64, info.height, info.fps) == (0, 64, 30.0)
    frames = list(read_video(run / "retarget.mp4"))
    assert len(frames) == len(driver)
    panels = torch.from_numpy(frames[-1].image).permute(2, 0, 1).float().split(64, dim=-1)
    assert len(panels) >= 3
    assert min(float((panel - driver.frames[-1]).abs().mean()) for panel in panels[1:]) < 8
    assert min(float((panels[0] - frame).abs().mean()) for frame in target.frames) < 8


def test_the_report_holds_the_pictures_and_the_video(run: Path) -> None:
    html = (run / "report.html").read_text()
    assert html.count("data:image/png;base64,") >= len(list((run / "pictures").iterdir()))
    assert html.count("data:video/mp4;base64,") == 1
    assert results_of(run)["verdict"][:30] in html


def test_a_second_run_computes_nothing(run: Path) -> None:
    before, start = times_of(run), time.monotonic()
    results = run_demo(TINY, run)
    seconds = time.monotonic() - start
    changed = {name for name, moment in times_of(run).items() if moment != before.get(name)}
    assert changed <= {"results.json", "report.html"}
    assert seconds < 2
    assert json.loads(json.dumps(results)) == results_of(run)


def test_other_settings_are_refused_and_everything_stays(run: Path) -> None:
    before = times_of(run)
    with pytest.raises(InputError, match=r"holds a run of other settings \(steps is 2 there and 3 here\)"):
        run_demo(dataclasses.replace(TINY, steps=3), run)
    with pytest.raises(InputError, match=r"seed is 0 there and 1 here, \.\.\.\)"):
        run_demo(dataclasses.replace(TINY, seed=1, size=64), run)
    assert times_of(run) == before


def test_what_was_deleted_is_made_again_the_same(run: Path) -> None:
    before = content_of(run)
    pictures = sorted(str(path.relative_to(run)) for path in (run / "pictures").glob("*"))
    lost = ["random.safetensors", "theta.safetensors", "retarget.mp4", "scores/metapix.json", "report.html", "results.json", *pictures[:1]]
    for name in lost:
        (run / name).unlink()
    run_demo(TINY, run, workers=2)
    after = content_of(run)
    timed = {"seconds.json", "results.json", "report.html"}  # hold the seconds that stages took
    assert after.keys() == before.keys()
    changed = {name for name in before if after[name] != before[name]} - timed
    assert {name for name in changed if not name.endswith(".safetensors")} == set()
    assert all((load(after[name]).keys(), header(after[name])) == (load(before[name]).keys(), header(before[name])) for name in changed)
    assert all(torch.equal(tensor, load(before[name])[key]) for name in changed for key, tensor in load(after[name]).items())


def header(content: bytes) -> dict[str, Any]:
    """A safetensors header, whose entries come in no fixed order."""
    parsed: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return parsed


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A finished run that a test may damage."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.mark.parametrize("name", ["settings.json", "seconds.json", "scores/pretrain.json"])
@pytest.mark.parametrize("damage", [b"", b'{"seed": ', b"null", b"\xff\xff"])
def test_a_damaged_file_is_named_and_nothing_changes(copy: Path, name: str, damage: bytes) -> None:
    (copy / name).write_bytes(damage)
    before = content_of(copy)
    with pytest.raises(InputError, match=f"{name} is damaged .*; "):
        run_demo(TINY, copy)
    assert content_of(copy) == before


def test_a_damaged_start_or_clip_is_named(copy: Path) -> None:
    people = copy / "people.safetensors"
    whole = people.read_bytes()
    people.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(gm.CheckpointError, match=r"people\.safetensors is not a readable"):
        run_demo(TINY, copy)
    people.write_bytes(whole)
    (copy / "clips" / "single-cam01" / "frames" / "000000.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"single-cam01.frames.000000\.png is damaged"):
        run_demo(TINY, copy)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("sun")
    with pytest.raises(InputError, match="holds something that is not a run of this demo"):
        run_demo(TINY, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.txt"]
    with pytest.raises(InputError, match=r"cannot write to .*holiday\.txt"):
        run_demo(TINY, tmp_path / "holiday.txt" / "run")
    with pytest.raises(InputError, match=r"cannot write to .*holiday\.txt"):
        run_demo(TINY, tmp_path / "holiday.txt")
    assert (tmp_path / "holiday.txt").read_text() == "sun"


def test_a_claimed_folder_keeps_its_settings(tmp_path: Path) -> None:
    claim_folder(tmp_path / "a" / "b", TINY)
    assert json.loads((tmp_path / "a" / "b" / "settings.json").read_text())["scored_clips"] == ["single-cam01"]
    claim_folder(tmp_path / "a" / "b", TINY)
    with pytest.raises(InputError, match=r"lr is 0\.001 there and 0\.002 here"):
        claim_folder(tmp_path / "a" / "b", dataclasses.replace(TINY, lr=2e-3))


def test_clips_that_are_not_installed_are_missed_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metapix.demo.story.bundled_videos", _not_installed)
    with pytest.raises(InputError, match="pose2sim"):
        run_demo(TINY, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    assert set(TINY.scored_clips) <= set(bundled_videos())


def _not_installed() -> dict[str, Path]:
    raise InputError("pose2sim is not installed")


def test_the_terminal_shows_a_row_for_each_start_and_whole_paths(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = Path("a[b]c" * 40)
    print_results(results_of(run), folder)
    shown = capsys.readouterr().out
    assert f"report: {folder / 'report.html'}\n" in shown
    assert f"{folder / 'retarget.mp4'}\n" in shown
    assert shown.count("nearest*") == 3
    assert "pretrained, T=0" in shown
    assert "pretrained, T=5" in shown
    row = results_of(run)["rows"][0]
    assert f"{row['psnr']:.1f} ±{row['psnr_sd']:.1f}" in shown
    assert "…" not in shown  # nothing is cut off on a narrow terminal
