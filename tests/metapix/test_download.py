"""Manifests and downloads: the protocol's IDs, files that are checked, and videos that are gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from metapix.data.download import download, read_manifest, yt_dlp_fetch
from metapix.errors import InputError

from tests.metapix.test_prepare import noise_video


def test_the_papers_videos_are_listed() -> None:
    training, test = read_manifest("training"), read_manifest("test")
    assert (len(training), len(test)) == (10, 8)
    assert (training[0].youtube, training[9].youtube, test[0].youtube, test[7].youtube) == (
        "wtW2R7hTImA", "QtUwi604PFc", "9pyCI_intrQ", "nxR9DoyK6t8",
    )  # fmt: skip
    assert len({video.youtube for video in training + test}) == 18
    assert training[2].address == "https://www.youtube.com/watch?v=mg6-SnUl0A0"


def test_videos_are_checked_kept_and_reported(tmp_path: Path) -> None:
    source = noise_video(tmp_path / "source.mp4", 2)
    out = tmp_path / "videos"
    out.mkdir()
    asked: list[str] = []

    def fetch(address: str, file: Path) -> str | None:
        asked.append(address[-11:])
        if address.endswith("soYDiE7sl4g"):
            return "Video unavailable"
        if address.endswith("mg6-SnUl0A0"):
            file.write_bytes(b"<html>")
        else:
            shutil.copy(source, file)
        return None

    videos = read_manifest("training")[:4]
    outcomes = download(videos, out, fetch)
    assert [outcome.problem for outcome in outcomes] == [None, "Video unavailable", "what came cannot be read as a video", None]
    assert sorted(path.name for path in out.iterdir()) == ["training-01.mp4", "training-04.mp4"]
    assert outcomes[0].sha256 == outcomes[3].sha256 is not None
    assert len(asked) == 4
    download(videos, out, fetch)
    assert asked[4:] == ["soYDiE7sl4g", "mg6-SnUl0A0"], "what is there stays"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("videos = 3", "needs"),
        ('[[videos]]\nname = "a"', "needs"),
        ("[[videos", "is not TOML"),
        ('[[videos]]\nname = "../../a"\nyoutube = "wtW2R7hTImA"', "no plain name"),
        ('[[videos]]\nname = "a"\nyoutube = "--exec=rm"', "no plain name or no ID"),
        (f'[[videos]]\nname = "{"a" * 300}"\nyoutube = "wtW2R7hTImA"', "no plain name"),
        ("videos = []", "lists no video"),
        ("[[videos]]\nname = 7\nyoutube = 12345678901", "'name' of a video of .* must be words in quotes, got 7"),
        ('[[videos]]\nname = "a"\nyoutube = "wtW2R7hTImA"\n[[videos]]\nname = "A"\nyoutube = "soYDiE7sl4g"', "two videos named 'a'"),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        read_manifest(str(tmp_path / "mine.toml"))
    with pytest.raises(InputError, match="did you mean 'training'"):
        read_manifest("trainig")


def test_without_yt_dlp_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install yt-dlp"):
        yt_dlp_fetch()
