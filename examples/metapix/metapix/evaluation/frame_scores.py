"""Scores frame by frame, a few frames at a time, so that memory does not grow with the length of a video."""

from __future__ import annotations

import csv
import io
import logging
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gan_meta as gm
from metapix.data.clip import Clip
from metapix.data.pose import PoseEstimator
from metapix.errors import InputError
from metapix.evaluation.crops import crop_scores, face_box, person_box
from metapix.evaluation.pose_fidelity import pose_scores
from metapix.files import read_json, write_text
from metapix.poses.pose_input import person_discs, to_bytes, to_unit

log = logging.getLogger(__name__)

Row = dict[str, float]
"""The scores of a frame; what is not defined for it is left out."""

MEANS = (
    "ssim", "psnr", "mse", "ssim_piq", "ms_ssim", "person_psnr", "person_ssim", "face_psnr", "face_ssim", "flicker", "change_error",
    "pck", "joint_error", "lpips", "dists",
)  # fmt: skip
"""Columns whose mean over frames is a video's score."""
COLUMNS = ("frame", *MEANS, "brightness")

HIGHER_IS_BETTER = {
    "ssim": True, "psnr": True, "mse": False, "ssim_piq": True, "ms_ssim": True, "person_psnr": True, "person_ssim": True,
    "face_psnr": True, "face_ssim": True, "flicker": False, "change_error": False, "pck": True, "joint_error": False, "lpips": False,
    "dists": False, "temporal_std": False, "fid": False, "kid": False,
}  # fmt: skip


class FrameScores:
    """Takes generated frames as they come and scores them against the real ones. FID and KID keep them, as 8-bit pictures.

    Args:
        truth: the real frames with their poses.
        pose_frames: estimate the pose in at most so many of them, evenly spaced.
        estimator: what estimates it; needed where ``pose_frames`` is above 0.
    """

    def __init__(self, truth: Clip, pose_frames: int = 0, estimator: PoseEstimator | None = None) -> None:
        self._truth, self._estimator = truth, estimator
        shown = min(pose_frames, len(truth)) if estimator is not None else 0
        self._posed = {(2 * number + 1) * len(truth) // (2 * shown) for number in range(shown)}
        self._before: tuple[Tensor, Tensor] | None = None
        self.rows: list[Row] = []
        self.not_computed = missing_metrics(truth.size)
        self._of_sets = [name for name in ("fid", "kid") if name not in self.not_computed]
        self._stored: list[Tensor] = []

    def add(self, generated: Tensor) -> None:
        """The next frames, (n, 3, S, S), about [-1, 1]; they are rounded to 8 bits first, as a stored picture would be.

        Raises:
            InputError: when they hold NaN.
        """
        first = len(self.rows)
        if not bool(generated.isfinite().all()):
            broken = first + int((~generated.isfinite()).flatten(1).any(1).nonzero()[0])
            raise InputError(f"the generated frame {broken} of {self._truth.name} holds NaN or an infinity")
        part = self._truth.select(slice(first, first + len(generated)))
        stored = to_bytes(generated)
        images, real = to_unit(stored), to_unit(part.frames)
        rows: list[Row] = [{"frame": first + number} for number in range(len(images))]
        self._whole(rows, images, real)
        self._regions(rows, images, real, part.joints)
        self._motion(rows, images, real)
        for number, row in enumerate(rows):
            if first + number in self._posed and self._estimator is not None:
                row.update(pose_scores(stored[number], part.joints[number], self._estimator))
        self.rows += rows
        if self._of_sets:
            self._stored.append(stored)

    def summary(self) -> dict[str, float]:
        """The video's scores: :func:`summarise`'s, and FID and KID between all frames and the real ones where their weights are here."""
        sets: dict[str, float] = {}
        if self._of_sets:
            images, real = to_unit(torch.cat(self._stored)), to_unit(self._truth.frames)
            sets = {name: getattr(gm.metrics, name)(images, real) for name in self._of_sets}
        return {name: value for name, value in (summarise(self.rows) | sets).items() if math.isfinite(value)}

    def _whole(self, rows: Sequence[Row], images: Tensor, real: Tensor) -> None:
        scores = {**gm.metrics.image_metrics(images, real), "brightness": (images.flatten(1).double().mean(1) + 1) * 127.5}
        further = {"ssim_piq": gm.metrics.ssim_piq, "ms_ssim": gm.metrics.ms_ssim, "lpips": gm.metrics.lpips, "dists": gm.metrics.dists}
        scores |= {name: measure(images, real) for name, measure in further.items() if name not in self.not_computed}
        _spread(rows, scores)

    def _regions(self, rows: Sequence[Row], images: Tensor, real: Tensor, joints: Tensor) -> None:
        discs = person_discs(joints, self._truth.size)
        for number, row in enumerate(rows):
            one = slice(number, number + 1)
            if bool(discs[one].any()):
                row["person_psnr"] = float(gm.metrics.masked_psnr(images[one], real[one], discs[one]))
            person, face = person_box(joints[number], self._truth.size), face_box(joints[number], self._truth.size)
            if person is not None:
                row["person_ssim"] = crop_scores(images[number], real[number], person)["ssim"]
            if face is not None:
                row.update({f"face_{name}": value for name, value in crop_scores(images[number], real[number], face).items()})

    def _motion(self, rows: list[Row], images: Tensor, real: Tensor) -> None:
        if self._before is not None:  # the last frame of the batch before
            images, real = torch.cat([self._before[0], images]), torch.cat([self._before[1], real])
        if len(images) > 1:
            steps = {"flicker": gm.metrics.frame_flicker(images, real), "change_error": gm.metrics.change_error(images, real)}
            _spread(rows[-len(steps["flicker"]) :], steps)
        self._before = images[-1:], real[-1:]


def missing_metrics(size: int) -> dict[str, str]:
    """{metric: why it is not computed} for pictures of this size on this machine."""
    missing = {}
    if size < gm.metrics.MS_SSIM_SMALLEST:
        missing["ms_ssim"] = f"pictures of {size} pixels; it needs {gm.metrics.MS_SSIM_SMALLEST}"
    for name in gm.metrics.WEIGHTS:
        files = gm.metrics.missing_weights(name)
        if files:
            missing[name] = f"weights missing: {', '.join(files)}"
    return missing


def weights_here() -> tuple[str, ...]:
    """The metrics whose networks' weights are on this machine; scores are of one kind only where these are the same."""
    return tuple(name for name in gm.metrics.WEIGHTS if not gm.metrics.missing_weights(name))


def summarise(rows: Sequence[Row]) -> dict[str, float]:
    """A video's scores: the mean over the frames that have one, and ``temporal_std``, the deviation of the brightness."""
    scores = {}
    for name in MEANS:
        values = [row[name] for row in rows if name in row]
        if values:
            scores[name] = statistics.fmean(values)
    scores["temporal_std"] = statistics.pstdev([row["brightness"] for row in rows])
    return {name: value for name, value in scores.items() if not math.isnan(value)}


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """A CSV file with a line a frame, atomically; a score that a frame does not have is an empty field."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: int(value) if name == "frame" else f"{value:.8g}" for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[Row]:
    """What :func:`write_rows` wrote.

    Raises:
        InputError: when it is damaged.
    """
    try:
        with path.open(newline="") as file:
            return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    except (ValueError, AttributeError, csv.Error) as error:
        raise InputError(f"{path} is damaged ({error}); delete it and the .json file beside it, and run again") from error


def forget_damaged(files: Iterable[Path], scores_of: Callable[[Mapping[str, Any]], Any]) -> None:
    """Remove kept results that cannot be used, so that they are scored anew, and say so.

    Args:
        scores_of: from a result to its scores by name.
    """
    for file in files:
        if file.is_file():
            try:
                result = read_json(file, dict)
                _check_kept(result, scores_of(result))
            except InputError as error:
                log.warning("%s is scored anew: %s", file.name, error)
                file.unlink()


def _check_kept(result: Mapping[str, Any], scores: Any) -> None:
    numbers = [scores.get(name, 0.0) for name in HIGHER_IS_BETTER] if isinstance(scores, Mapping) else [None]
    numbers += [result.get(name, 0.0) for name in ("seconds", "cpu_seconds", "strength", "steps")]
    reasons = result.get("not_computed")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in numbers):
        raise InputError("a score is no finite number")
    if type(result.get("frames")) is not int or result["frames"] < 1:
        raise InputError("it says of no frame that it was scored")
    if not isinstance(reasons, Mapping) or not all(isinstance(reason, str) for reason in reasons.values()):
        raise InputError("it does not say what was not computed")


def _spread(rows: Sequence[Row], scores: Mapping[str, Tensor]) -> None:
    for name, values in scores.items():
        for row, value in zip(rows, values.tolist(), strict=True):
            row[name] = float(value)
