"""Where a path may be written to, and what becomes of what killed processes were writing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import gan_meta as gm
from gan_meta.checkpoint import save_tensors
from gan_meta.files import load_json, parse_json, replacing, write_text
from gan_meta.partial import output_of, partial_beside, replace_folder, sweep

_WRITER = """
import sys, time
from pathlib import Path
from gan_meta.files import replacing
with replacing(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def writer(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_a_link_stays_and_what_it_points_at_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    for target in (tmp_path / "disk" / "there.txt", tmp_path / "disk" / "not-yet.txt"):
        link = tmp_path / f"link-to-{target.name}"
        link.symlink_to(target)
    (tmp_path / "disk" / "there.txt").write_text("old")
    (tmp_path / "second").symlink_to("link-to-there.txt")  # relative, and a link to a link
    for name, target in (("second", "there.txt"), ("link-to-not-yet.txt", "not-yet.txt")):
        write_text(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink()
        assert not (tmp_path / "disk" / target).is_symlink()
        assert (tmp_path / "disk" / target).read_text() == "new"
    assert sorted(os.listdir(tmp_path / "disk")) == ["not-yet.txt", "there.txt"]


@pytest.mark.parametrize("kind", ["device", "pipe", "socket", "stdout", "link to a device", "link to stdout", "circle", "long name"])
def test_what_is_no_file_is_refused_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = tmp_path / "out.safetensors"
    if kind == "device":
        path = Path(os.devnull)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            monkeypatch.chdir(tmp_path)  # a socket's whole path has about 100 bytes
            server.bind(path.name)
    elif kind == "stdout":
        path = Path("/dev/stdout")
    elif kind == "long name":
        path = tmp_path / ("x" * 300)
    else:
        path.symlink_to({"link to a device": os.devnull, "link to stdout": "/dev/stdout", "circle": path}[kind])
    before = None if kind == "long name" else path.lstat()
    with pytest.raises(OSError, match="cannot write") as refused:
        output_of(path)
    assert str(path)[:100] in str(refused.value)
    with pytest.raises(OSError, match="cannot write"):
        save_tensors(path, {"a": torch.zeros(1)}, {})
    assert kind == "long name" or os.path.samestat(path.lstat(), before)
    assert set(os.listdir(tmp_path)) <= {"out.safetensors"}


def test_folders_and_files_in_each_others_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(IsADirectoryError, match="it is a folder; give the name of a file"):
        output_of(tmp_path / "folder")
    with pytest.raises(NotADirectoryError, match="it is a file, and a folder is made there"):
        output_of(tmp_path / "file", folder=True)
    with pytest.raises(NotADirectoryError, match="file is a file, not a folder"):
        output_of(tmp_path / "file" / "a" / "b")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        output_of(tmp_path / "absent" / "b")
    with pytest.raises(OSError, match="null byte"):
        output_of(tmp_path / "a\0b")
    assert output_of(tmp_path / "folder", folder=True) == tmp_path / "folder"
    assert output_of(tmp_path / "file") == tmp_path / "file"


def test_a_folder_that_is_not_ones_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # as it is for others than root, and on disks that are read-only
    with pytest.raises(PermissionError, match="cannot be written by you"):
        output_of(tmp_path / "a")


def test_another_users_file_in_a_folder_for_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").write_text("x")
    output_of(tmp_path / "theirs")
    tmp_path.chmod(0o1777)
    output_of(tmp_path / "theirs")  # one's own
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        output_of(tmp_path / "theirs")
    output_of(tmp_path / "new")


def test_open_files_of_the_process_are_refused_by_each_of_their_names(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    (tmp_path / "fd").symlink_to("/dev/fd")
    for path in (Path(f"/dev/fd/{writing}"), Path(f"/proc/self/fd/{writing}"), tmp_path / "fd" / str(writing), Path("/dev/fd/out.mp4")):
        with pytest.raises(OSError, match=r"cannot write .*: it is"):
            output_of(path)
    os.close(reading)
    os.close(writing)


def test_new_files_have_the_users_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
        gm.save_pair(gm.GANPair(torch.nn.Linear(1, 1), None), tmp_path / "b.safetensors")
    finally:
        os.umask(before)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "b.safetensors")} == {0o640}


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    living, dead = writer(tmp_path / "living"), writer(tmp_path / "dead")
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    (tmp_path / ".notes.partial").write_text("somebody else's")
    assert sum(name.endswith(".partial") for name in os.listdir(tmp_path)) == 3
    write_text(tmp_path / "next", "x")  # sweeps
    left = [name for name in os.listdir(tmp_path) if name.endswith(".partial")]
    assert sorted(name.split(".")[1] for name in left) == ["living", "notes"]
    living.send_signal(signal.SIGKILL)
    living.wait()
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".notes.partial", "next"]


def test_leftovers_of_earlier_versions_are_swept(tmp_path: Path) -> None:
    for name in (".a.mp4.0123456789abcdef0123456789abcdef.partial", ".theta.safetensors.ab12_x9z.partial"):
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "a", "x")
    assert os.listdir(tmp_path) == ["a"]


def test_words_of_eight_letters_are_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / ".film.download.partial").write_text("precious")
    sweep(tmp_path)
    assert (tmp_path / ".film.download.partial").read_text() == "precious"


def test_a_folder_that_is_swept_before_its_writer_has_locked_it_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[Path] = []
    make = Path.mkdir

    def make_and_sweep(path: Path) -> None:
        make(path)
        if len(swept) < 2:
            swept.append(path)
            handles.append(os.open(path, os.O_RDONLY))
            fcntl.flock(handles[-1], fcntl.LOCK_EX)
            if len(swept) == 2:
                path.rmdir()

    handles: list[int] = []
    monkeypatch.setattr(Path, "mkdir", make_and_sweep)
    with partial_beside(tmp_path / "a") as folder:
        assert folder not in swept
        assert folder.is_dir()
    for handle in handles:
        os.close(handle)
    sweep(tmp_path)
    assert os.listdir(tmp_path) == []


def test_two_processes_put_a_folder_into_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "x").write_text("old")
    move, calls = os.replace, []

    def move_and_be_overtaken(source: Path, target: Path) -> None:
        move(source, target)
        calls.append(target)
        if len(calls) == 1:  # the old one was moved away: now the other process is faster
            (tmp_path / "clip").mkdir()
            (tmp_path / "clip" / "x").write_text("theirs")

    monkeypatch.setattr(os, "replace", move_and_be_overtaken)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "x").write_text("ours")
    replace_folder(tmp_path / "made", tmp_path / "clip")
    assert (tmp_path / "clip" / "x").read_text() == "ours"
    assert os.listdir(tmp_path) == ["clip"]


def test_a_folder_with_a_long_name_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / ("ü" * 120)
    for content in ("old", "new"):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "x").write_text(content)
        replace_folder(tmp_path / "made", target)
    assert (target / "x").read_text() == "new"
    assert os.listdir(tmp_path) == [target.name]


def test_two_writers_side_by_side_do_not_sweep_each_other(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "b") as second, replacing(tmp_path / "a") as third:
        for number, partial in enumerate((first, second, third)):
            partial.write_text(str(number))
    assert (tmp_path / "a").read_text() == "0"  # left last
    assert (tmp_path / "b").read_text() == "1"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_many_writers_at_once_never_sweep_what_another_has_just_made(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for turn in range(40):
            write_text(tmp_path / f"{number}.txt", str(turn), durable=False)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))  # an error in a thread is raised here
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{number}.txt" for number in range(8)]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with contextlib.suppress(ValueError), replacing(tmp_path / "a") as partial:
        partial.write_text("new")
        raise ValueError
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_takes_anothers_place_and_one_that_was_moved_away_by_a_dead_process_comes_back(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with partial_beside(tmp_path / "clip") as place:
            (place / "made").mkdir()
            (place / "made" / "x").write_text(content)
            replace_folder(place / "made", tmp_path / "clip")
    assert (tmp_path / "clip" / "x").read_text() == "new"
    (tmp_path / "clip").rename(tmp_path / f".clip.{'0' * 32}.old")  # killed between the two moves
    sweep(tmp_path)
    assert (tmp_path / "clip" / "x").read_text() == "new"
    assert os.listdir(tmp_path) == ["clip"]


_INSIDE = '{"a": [1, {"b": ' + "[" * 98 + "]" * 98 + "}]}"


@pytest.mark.parametrize("text", ["[" * 200 + "]" * 200, '{"a":' * 200 + "1" + "}" * 200, "[" * 100_000, _INSIDE])
def test_json_that_is_nested_deeply_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="nested in more than 100 levels"):
        load_json(text)
    with pytest.raises(ValueError, match="x is not JSON, or is damaged"):
        parse_json(text, "x")


def test_json_of_usual_depth_is_read() -> None:
    assert load_json("[" * 99 + "]" * 99)
    assert load_json('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    assert load_json("3") == 3
