"""How a run is seen: logs that survive a resume, warnings of divergence, speed, the status command and the profile."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gan_meta as gm
from gan_meta.cli import main
from gan_meta.training.divergence import DivergenceMonitor
from gan_meta.training.interruption import Interruption, WorkAbandoned
from gan_meta.training.progress import Progress, memory
from gan_meta.training.run_status import duration, run_status
from tests.training.test_run_folder import trainer


def run_in_two_parts(folder, **options):
    """Killed after iteration 3, which the checkpoint of iteration 2 knows nothing of."""

    def stop(iteration, _logs):
        if iteration == 3:
            raise InterruptedError

    first = trainer(folder, on_iteration=stop, **options)
    first.checkpoint_every = 2
    with pytest.raises(InterruptedError):
        first.fit()
    second = trainer(folder, **options)
    second.checkpoint_every = 2
    second.fit()


def test_logs_have_each_iteration_once_after_a_resume(tmp_path):
    run_in_two_parts(tmp_path, logs=("jsonl", "csv", "tensorboard"))
    lines = [json.loads(line) for line in (tmp_path / "meta-training.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4, 5]
    whole, pair = [], trainer(None, on_iteration=lambda _i, logs: whole.append(logs))
    pair.fit()
    for line, logs in zip(lines, whole, strict=True):
        assert {name: line[name] for name in logs} == logs
        assert line["peak_memory_mb"] > 1
    with (tmp_path / "meta-training.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == [1, 2, 3, 4, 5]
    assert [float(row["G_L2"]) for row in rows] == [logs["G_L2"] for logs in whole]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("G_L2")] == [
        (number + 1, pytest.approx(logs["G_L2"])) for number, logs in enumerate(whole)
    ]


def test_half_a_line_of_a_killed_process_is_dropped(tmp_path):
    run_in_two_parts(tmp_path)
    with (tmp_path / "meta-training.jsonl").open("a") as file:
        file.write('{"iteration": 4, "gene')
    trainer(tmp_path, iterations=5).fit(resume=True)
    assert len([json.loads(line) for line in (tmp_path / "meta-training.jsonl").read_text().splitlines()]) == 5


def test_an_unknown_log_is_named():
    with pytest.raises(ValueError, match="did you mean 'jsonl'"):
        trainer(None, logs=["json"])


def test_the_console_log_goes_through_logging(caplog):
    caplog.set_level("INFO")
    trainer(None, logs=["console"], iterations=1).fit()
    assert "meta-training 1: " in caplog.text


def losses(count, **values):
    return [{name: value(number) for name, value in values.items()} for number in range(count)]


def test_divergence_is_reported_once_and_again_after_it_went_away():
    monitor = DivergenceMonitor(window=5)
    said = [monitor.watch(logs) for logs in losses(40, generator=lambda n: 1.0 if n < 10 or 20 <= n < 30 else 50.0)]
    when = [number for number, sentences in enumerate(said) if sentences]
    assert when == [12, 32]  # when three of five are high
    assert "the generator's loss was 1 at first and is 50" in said[12][0]


def test_a_discriminator_that_wins_and_a_direction_that_explodes_are_reported():
    monitor = DivergenceMonitor(window=5)
    said = [monitor.watch(logs) for logs in losses(20, discriminator=lambda n: 0.5**n, direction_norm=lambda n: 2.0**n)]
    text = " ".join(sentence for sentences in said for sentence in sentences)
    assert "the discriminator wins" in text
    assert "the direction's norm was 4 at first" in text


def test_a_calm_training_is_not_warned_about():
    monitor = DivergenceMonitor(window=5)
    assert not any(monitor.watch(logs) for logs in losses(100, generator=lambda n: 1 + n % 3, discriminator=lambda n: 0.3 - n / 1000))


def test_a_gpus_figures_are_there_where_it_gives_them(monkeypatch):
    """With stand-ins for CUDA's answers, as a machine without a GPU has none."""
    nvml = SimpleNamespace(NVMLError=type("NVMLError", (Exception,), {}))
    asked = []
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 3_000_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5_000_000)
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: asked.append(device) or 87)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    gpu = torch.device("cuda", 1)
    figures = memory(gpu)
    assert (figures["gpu_memory_mb"], figures["gpu_peak_memory_mb"], figures["gpu_use_percent"]) == (3, 5, 87)
    assert asked == [gpu]

    def refuse(device):
        raise nvml.NVMLError("not supported")

    monkeypatch.setattr(torch.cuda, "utilization", refuse)
    assert "gpu_use_percent" not in memory(gpu)
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    assert memory(gpu).keys() == {"peak_memory_mb", "gpu_memory_mb", "gpu_peak_memory_mb"}
    assert memory(torch.device("cpu")).keys() == {"peak_memory_mb"}


def test_speed_and_time_left(monkeypatch):
    now = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    progress = Progress(total=50, done=10)
    assert progress.seconds_left is None
    progress.tick(11)
    progress.tick(14)
    assert progress.per_second == 1.0
    assert progress.seconds_left == 36.0


def test_durations_in_words():
    assert [duration(seconds) for seconds in (5, 65, 3700, 90000)] == ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]


def status_of(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gan-meta", "status", str(folder)])
    with pytest.raises(SystemExit) as end:
        main()
    shown = capsys.readouterr()
    return end.value.code, shown.out, shown.err


def test_status_tells_how_a_run_stands(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    during = []
    trainer(tmp_path, iterations=2, on_iteration=lambda _i, _logs: during.append(run_status(tmp_path)["state"])).fit()
    assert during == ["running", "running"]
    code, out, _ = status_of(tmp_path, capsys, monkeypatch)
    assert code == 0
    assert "finished" in out
    assert "meta-training: 2 of 2 iterations (100.0%)" in out
    document = json.loads((tmp_path / "status.json").read_text())
    (tmp_path / "status.json").write_text(json.dumps({**document, "state": "running"}))
    assert run_status(tmp_path)["state"].startswith("killed")
    for content, words in (("[1]", "JSON object belongs there"), ("{}", "damaged")):
        (tmp_path / "status.json").write_text(content)
        code, _, err = status_of(tmp_path, capsys, monkeypatch)
        assert code == 2
        assert words in err
        assert err.count("\n") == 1
    code, _, err = status_of(tmp_path / "nowhere", capsys, monkeypatch)
    assert code == 2
    assert "no training has run there" in err


def test_a_failed_run_says_so(tmp_path):
    def fail(_iteration, _logs):
        raise gm.NonFiniteLossError("it went wrong")

    with pytest.raises(gm.NonFiniteLossError):
        trainer(tmp_path, on_iteration=fail).fit()
    status = run_status(tmp_path)
    assert status["state"] == "failed"
    assert status["message"] == "it went wrong"


def test_a_profile_by_one_option(tmp_path):
    trainer(tmp_path, iterations=4, profile=2).fit()
    events = json.loads((tmp_path / "profile.json").read_text())["traceEvents"]
    assert any("conv" in event.get("name", "") for event in events)
    assert "conv" in (tmp_path / "profile.txt").read_text()


def test_work_is_abandoned_only_where_it_may_be():
    with Interruption() as interruption:
        with interruption.abandonable(allowed=False):
            os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.number() == signal.SIGTERM
        with pytest.raises(WorkAbandoned), interruption.abandonable():
            pass
    with Interruption() as interruption, pytest.raises(WorkAbandoned), interruption.abandonable():
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_second_ctrl_c_ends_at_once_but_not_the_same_one_handed_on(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Interruption():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        now[0] = 5.0
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
