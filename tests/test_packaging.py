"""What is shipped: a wheel of the library alone, typed, whose metadata says what this repository says."""

from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gan_meta as gm

ROOT = Path(__file__).parents[1]


def build_wheel(project: Path, out: Path) -> zipfile.ZipFile:
    """A project's wheel, built from a copy of what the repository tracks, so that nothing is left behind in it."""
    copy = out / "source"
    tracked = subprocess.run(["git", "ls-files", "-z", "."], cwd=project, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (project / name).is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((project / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Deprecat" not in result.stdout + result.stderr
    (wheel,) = out.glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    files = {name for name in wheel.namelist() if not name.startswith(f"gan_meta-{gm.__version__}.dist-info/")}
    tracked = subprocess.run(["git", "ls-files", "gan_meta"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert files == {name for name in tracked if (ROOT / name).is_file()}
    assert "gan_meta/py.typed" in files
    assert sum(entry.file_size for entry in wheel.infolist()) < 1_000_000


def test_the_metadata_says_what_the_repository_says(wheel):
    metadata = email.message_from_bytes(wheel.read(f"gan_meta-{gm.__version__}.dist-info/METADATA"))
    assert metadata["Name"] == "gan-meta"
    assert metadata["Version"] == gm.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra")) == {"test", "keras", "onnx", "heic", "hub", "docs", "tensorboard", "perceptual", "soak"}
    hard = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert {line.split(">")[0] for line in hard} == {"torch", "torchvision", "numpy", "piq", "pillow", "typer", "safetensors", "rich"}
    assert not any("<" in line or "==" in line for line in hard), "an upper bound would keep users from newer versions"


def test_every_lower_bound_is_in_the_file_that_is_tested(wheel):
    metadata = email.message_from_bytes(wheel.read(f"gan_meta-{gm.__version__}.dist-info/METADATA"))
    hard = dict(line.split(">=") for line in metadata.get_all("Requires-Dist") if "extra ==" not in line)
    lines = [line for line in (ROOT / "constraints-lowest.txt").read_text().splitlines() if not line.startswith("#")]
    lowest = dict(line.split("==") for line in lines)
    assert set(lowest) == set(hard)
    for name, version in hard.items():
        assert (lowest[name] + ".0.0").startswith(version), name


def test_metapix_builds_likewise(tmp_path):
    files = build_wheel(ROOT / "examples" / "metapix", tmp_path).namelist()
    assert {name.split("/")[0].split("-")[0] for name in files} == {"metapix"}
    assert "metapix/py.typed" in files
