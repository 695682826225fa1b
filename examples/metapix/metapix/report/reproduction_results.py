"""What a reproduction adds to results.json: lines beside the paper's, and claims with their evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metapix.report.node import Node

SCORES = ("ssim", "psnr", "mse", "person_psnr", "flicker", "change_error", "pck")
"""The columns of a reproduction's tables."""
ALL_SCORES = (
    *SCORES, "joint_error", "person_ssim", "face_psnr", "face_ssim", "ssim_piq", "ms_ssim", "lpips", "dists", "fid", "kid", "temporal_std",
)  # fmt: skip
"""With those of its further tables."""
VERDICTS = ("holds", "does not hold", "undecided")


@dataclass(frozen=True)
class Video:
    """The scores of one video, averaged over seeds."""

    name: str
    frames: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Line:
    """A line of a table of a reproduction: means over videos with their intervals, and the paper's numbers; a size of 0 is unknown."""

    part: str
    model: str
    variant: str
    shots: str
    steps: str
    scores: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    paper: Mapping[str, float]
    done: int
    cells: int
    size: int = 0
    videos: tuple[Video, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """A comparison; the numbers are None where the videos are not there."""

    what: str
    score: str
    numbers: Mapping[str, float] | None  # difference, low, high, p, better, videos


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and what became of it."""

    text: str
    source: str
    verdict: str
    evidence: tuple[Evidence, ...]


def line_of(node: Node) -> Line:
    """Read and check a line."""
    paper = node.optional("paper")
    return Line(
        part=node.text("part"),
        model=node.text("model"),
        variant=node.text("variant"),
        shots=node.count("K"),
        steps=node.count("T"),
        scores=node.numbers(ALL_SCORES),
        low=_bounds(node, "_low"),
        high=_bounds(node, "_high"),
        paper=paper.numbers(SCORES) if paper else {},
        done=int(node.child("done").finite()),
        cells=int(node.child("cells").finite()),
        size=int(node.child("size").finite()) if node.optional("size") is not None else 0,
        videos=node.optional_each(
            "videos", lambda video: Video(video.text("name"), int(video.child("frames").finite()), video.numbers(SCORES))
        ),
    )


def _bounds(node: Node, end: str) -> dict[str, float]:
    found = node.numbers([score + end for score in ALL_SCORES])
    return {name.removesuffix(end): value for name, value in found.items()}


def claim_of(node: Node) -> Claim:
    """Read and check a claim."""
    verdict = node.text("verdict")
    if verdict not in VERDICTS:
        node.fail(f"a verdict is one of {', '.join(VERDICTS)}, not {verdict!r}")
    return Claim(node.text("text"), node.text("source", ""), verdict, node.optional_each("evidence", _evidence))


def _evidence(node: Node) -> Evidence:
    names = ("difference", "low", "high", "p", "better", "videos")
    known = node.optional("difference") is not None
    numbers = {name: node.child(name).finite() for name in names} if known else None
    return Evidence(node.text("what"), node.text("score"), numbers)
