"""Files are whole or not there, and JSON that cannot be read is refused in words."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
import torch
from metapix.errors import InputError
from metapix.files import check_folder, make_folder, read_json, read_limited, write_bytes, write_picture, write_text
from skimage import io


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"\x00\xff")
    write_text(tmp_path / "b", "naïve ± é")
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "b").read_text(encoding="utf-8") == "naïve ± é"
    write_bytes(tmp_path / "a", b"")
    assert (tmp_path / "a").read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_reading_makes_room_for_the_file_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    tracemalloc.start()
    assert read_limited(tmp_path / "a") == bytes(1000)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    reading, writing = os.pipe()  # as <(...) of a shell, of a size that is not known
    os.write(writing, b"[1, 2, 3]")
    os.close(writing)
    assert read_limited(Path(f"/dev/fd/{reading}")) == b"[1, 2, 3]"
    os.close(reading)
    monkeypatch.setattr("metapix.files.FILE_LIMIT", 1000)
    assert len(read_limited(tmp_path / "a")) == 1000
    (tmp_path / "a").write_bytes(bytes(1001))
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        read_limited(tmp_path / "a")


def test_a_picture_comes_back_pixel_for_pixel_in_rgb(tmp_path: Path) -> None:
    picture = torch.randint(0, 256, (3, 5, 9), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    write_picture(tmp_path / "p.png", picture)
    assert torch.equal(torch.from_numpy(io.imread(tmp_path / "p.png")).permute(2, 0, 1), picture)


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_earlier_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    write_text(tmp_path / "scores.json", "earlier")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "scores.json", "later")
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]
    assert (tmp_path / "scores.json").read_text() == "earlier"


def test_a_folder_that_is_none_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "absent" / "a", tmp_path / "file" / "a"):
        with pytest.raises(OSError):
            write_text(place, "y")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b'{"a": 1', "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[1]", "a dict belongs there, it holds a list"),
        (b"[" * 9999, "damaged"),
    ],
)
def test_damaged_json_says_which_file_and_what_to_do(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "seconds.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"seconds\.json is damaged.*{words if words != 'damaged' else ''}.*; throw it away"):
        read_json(file, dict, "throw it away")
    file.write_bytes(b'{"a": 1}')
    assert read_json(file, dict) == {"a": 1}


def test_a_folder_to_write_into_may_lie_where_nobody_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a disk of one's own does in /scratch, or in the root folder of a container."""
    mine = tmp_path / "scratch" / "mine"
    mine.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path).resolve().is_relative_to(mine))
    make_folder(mine)
    make_folder(mine / "a" / "b")
    assert (mine / "a" / "b").is_dir()
    monkeypatch.chdir(mine)
    make_folder(Path("c"))
    with pytest.raises(InputError, match="not yours to write"):
        make_folder(tmp_path / "scratch" / "other")
    assert sorted(os.listdir(tmp_path / "scratch")) == ["mine"]


def test_a_folder_is_looked_at_before_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "nowhere").symlink_to("gone")
    check_folder(tmp_path / "a" / "b")
    for path in (tmp_path / "file", tmp_path / "file" / "a", tmp_path / "nowhere", tmp_path / "nowhere" / "a"):
        for look in (check_folder, make_folder):
            with pytest.raises(InputError, match="cannot make the folder"):
                look(path)
    with pytest.raises(InputError, match="cannot make the folder"):
        make_folder(tmp_path / ("x" * 300))
    with pytest.raises(InputError, match="which is read"):
        check_folder(tmp_path, inputs=[tmp_path / "file", tmp_path])
    assert sorted(os.listdir(tmp_path)) == ["file", "nowhere"]
