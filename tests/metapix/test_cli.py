"""The commands as a user meets them: exit codes, one line on stderr, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from metapix.commands import prepare_jobs
from metapix.commands.prepare import prepare
from metapix.commands.prepare_jobs import Job, run_jobs
from metapix.data.bundled import bundled_videos
from metapix.data.video import VideoWriter
from metapix.demo.crew import Stage
from metapix.errors import InputError

import gan_meta as gm

METAPIX = [sys.executable, "-m", "metapix"]
GAN_META = [str(Path(sys.executable).with_name("gan-meta"))]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", "TERM": "dumb"}


def call(command: Sequence[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [*command, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, env=ENVIRONMENT, check=False)


def refused(command: Sequence[str], *arguments: str | Path) -> str:
    """The one line that a command leaves on stderr, with exit code 2."""
    result = call(command, *arguments)
    assert result.returncode == 2, result
    assert "Traceback" not in result.stdout + result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    program, message = result.stderr.rstrip("\n").split(": ", 1)
    assert program == ("metapix" if command is METAPIX else "gan-meta")
    return message


def listing(folder: Path) -> dict[str, int]:
    """Every path below a folder, with the time of its last change."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video of grey noise: nobody is in it."""
    path = tmp_path_factory.mktemp("videos") / "nobody.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, 10) as writer:
        for _ in range(3):
            writer.write(rng.integers(90, 160, (64, 64, 3), dtype=np.uint8))
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["demo", "prepare", "report"]),
        (["demo"], ["--out", "--seed", "--workers", "runs/demo", "same seed"]),
        (["prepare"], ["--out", "--size", "256", "--crop", "follow", "--every", "--max-frames"]),
        (["report"], ["results.json"]),
    ],
)
def test_help_of_metapix(arguments: list[str], words: list[str]) -> None:
    result = call(METAPIX, *arguments, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert [word for word in words if word not in result.stdout] == []


def test_help_of_gan_meta() -> None:
    result = call(GAN_META, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert [word for word in ("list", "inspect", "Show a file's model") if word not in result.stdout] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--steeps", "3"], "No such option: --steeps"),
        (["dance"], "No such command 'dance'"),
        (["prepare", "--out", "x"], "Missing argument"),
        (["prepare", "x.mp4"], "Missing option '--out'"),
        (["demo", "--seed", "-1"], "Invalid value for '--seed'"),
        (["demo", "--workers", "0"], "Invalid value for '--workers'"),
        (["prepare", "x.mp4", "--out", "x", "--size", "7"], "Invalid value for '--size'"),
    ],
)
def test_wrong_usage_is_exit_code_2_in_words(arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(METAPIX, *arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_demo_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    other = tmp_path / "other"
    other.mkdir()
    (other / "settings.json").write_text(json.dumps({"seed": 5}))
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "settings.json").write_text('{"seed": ')
    before = listing(tmp_path)
    assert f"cannot write to {tmp_path / 'file' / 'run'}: Not a directory; give another folder" in refused(
        METAPIX, "demo", "--out", tmp_path / "file" / "run"
    )
    assert "holds something that is not a run of this demo" in refused(METAPIX, "demo", "--out", tmp_path)
    assert "holds a run of other settings (seed is 5 there and 0 here" in refused(METAPIX, "demo", "--out", other)
    assert "settings.json is damaged" in refused(METAPIX, "demo", "--out", damaged)
    assert listing(tmp_path) == before


def test_videos_that_are_not_there_or_would_overwrite_each_other(tmp_path: Path, video: Path) -> None:
    out = tmp_path / "clips"
    assert refused(METAPIX, "prepare", tmp_path / "absent.mp4", "--out", out) == f"there is no video file {tmp_path / 'absent.mp4'}"
    assert "there is no video file" in refused(METAPIX, "prepare", video, tmp_path, "--out", out)
    assert "would both become the clip 'nobody'" in refused(METAPIX, "prepare", video, video, "--out", out)
    assert listing(tmp_path) == {}


class InThisProcess:
    """A crew that needs no processes, whose start costs seconds each."""

    def __init__(self, workers: int) -> None: ...

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            stage.run(*stage.arguments, lambda done: None)


def test_one_bad_video_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare_jobs, "Crew", InThisProcess)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "text.mp4").write_text("dear diary\n" * 50)
    good = bundled_videos()["single-cam01"]
    bad = [tmp_path / "absent.mp4", tmp_path / "text.mp4", tmp_path / "pictures"]
    with pytest.raises(InputError, match="3 of 4 could not be prepared: ") as refusal:
        prepare([*bad[:2], good, bad[2]], tmp_path / "clips", size=32, max_frames=3)
    message = str(refusal.value)
    assert "\n" not in message
    for file, problem in zip(bad, ("there is no video file", "cannot be read as a video", "no pictures are in it"), strict=True):
        assert f"{file}: " in message
        assert problem in message
    assert [path.name for path in (tmp_path / "clips").iterdir()] == [good.stem]
    assert f"{tmp_path / 'clips' / good.stem}: 3 frames" in capsys.readouterr().out


class Deadly:
    """A job's poses that end the process that unpacks them, as a video may that breaks its decoder."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (1,)


def test_a_video_that_ends_its_process_does_not_stop_the_others(tmp_path: Path) -> None:
    absent = tmp_path / "absent.mp4"
    jobs = [Job(absent, tmp_path / "a", 32, poses=Deadly()), Job(absent, tmp_path / "b", 32)]  # type: ignore[arg-type]
    problems = [done.problem or "" for done in run_jobs(jobs, 1)]
    assert "ended unexpectedly" in problems[0]
    assert "there is no video file" in problems[1]


@pytest.mark.parametrize("kind", ["cut off", "text"])
def test_a_file_that_is_no_video_is_refused_and_nothing_is_written(tmp_path: Path, video: Path, kind: str) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes({"cut off": video.read_bytes()[:200], "text": b"dear diary\n" * 50}[kind])
    message = refused(METAPIX, "prepare", bad, "--out", tmp_path / "clips" / "mine")
    assert str(bad) in message
    assert set(listing(tmp_path)) - {"clips"} == {"bad.mp4"}


def test_a_video_with_nobody_in_it_is_refused_and_earlier_clips_stay(tmp_path: Path, video: Path) -> None:
    (tmp_path / "kept").write_text("x")
    before = listing(tmp_path)
    message = refused(METAPIX, "prepare", video, "--out", tmp_path)
    assert f"No person was found in {video} (3 frames looked at; it takes two with a person)" in message
    assert listing(tmp_path) == before


def test_an_output_folder_for_clips_that_cannot_be_made(tmp_path: Path, video: Path) -> None:
    (tmp_path / "file").write_text("x")
    message = refused(METAPIX, "prepare", video, "--out", tmp_path / "file" / "clips")
    assert message == f"cannot make the folder {tmp_path / 'file' / 'clips'}: Not a directory; give another one with --out"
    assert "crop" in refused(METAPIX, "prepare", video, "--out", tmp_path / "new", "--crop", "round")
    assert set(listing(tmp_path)) == {"file"}


def test_a_report_of_no_results(tmp_path: Path) -> None:
    assert "results.json does not exist" in refused(METAPIX, "report", tmp_path)
    (tmp_path / "results.json").write_text('{"settings": {}')
    assert "results.json is not valid JSON" in refused(METAPIX, "report", tmp_path)
    assert set(listing(tmp_path)) == {"results.json"}


def test_a_report_says_where_it_is(tmp_path: Path) -> None:
    row = {"model": "none", "init": "nearest-frame", "K": 5, "T": 0, "ssim": 0.5, "psnr": 20.0, "mse": 9.0, "videos": []}
    (tmp_path / "results.json").write_text(json.dumps({"settings": {}, "rows": [row]}))
    result = call(METAPIX, "report", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"report: {tmp_path / 'report.html'}\n"
    assert "20.0" in (tmp_path / "report.html").read_text()


def test_an_interrupted_demo_says_so_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*METAPIX, "demo", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not (out / "clips").exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(2.5)  # a worker is starting, or at work
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "metapix: interrupted; finished stages are kept, run the same command again to go on\n"
    assert set(listing(out)) <= {"settings.json", "pictures", "scores", "clips", "models", "people.safetensors", "seconds.json"}


def test_gan_meta_lists_what_can_be_made() -> None:
    result = call(GAN_META, "list")
    assert (result.returncode, result.stderr) == (0, "")
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in result.stdout.splitlines() if line.startswith("│")]
    # Not compared with the registries of this process, which other tests add to.
    assert {name for kind, name in rows if kind == "algorithm"} >= {"reptile", "fomaml", "maml"}
    assert {name for kind, name in rows if kind == "model"} >= {"pix2pixhd", "posewarp"}


def test_gan_meta_inspects_a_pair_and_refuses_what_is_none(tmp_path: Path) -> None:
    pair = gm.models.create("pix2pixhd", pose_channels=2, base_channels=4, n_downsample=1, n_blocks=1, discriminator_channels=4)
    file = tmp_path / "a start [of two].safetensors"
    gm.save_pair(pair, file, {"trained_on": "nothing"})
    result = call(GAN_META, "inspect", file)
    assert (result.returncode, result.stderr) == (0, "")
    first, document = result.stdout.split("\n", 1)
    values = sum(tensor.numel() for tensor in pair.state_dict().values())
    assert first == f"{file}: {len(pair.state_dict())} tensors, {values:,} values, {file.stat().st_size / 1e6:.1f} MB"
    parsed = json.loads(document)
    assert (parsed["model"], parsed["arguments"]["pose_channels"], parsed["facts"]) == ("pix2pixhd", 2, {"trained_on": "nothing"})
    absent, cut = tmp_path / "absent.safetensors", tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:1000])
    assert refused(GAN_META, "inspect", absent) == f"no checkpoint at {absent}"
    assert "it may be truncated" in refused(GAN_META, "inspect", cut)
