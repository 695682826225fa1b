"""What the paper claims of each table, figure and ablation, in its order, and one claim of our own: the fair baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metapix.evaluation.reproduce.claims import (
    PAPERS_SCORES,
    STEADINESS,
    Claim,
    ClaimsOf,
    Evidence,
    Lines,
    all_of,
    averaged,
    better,
    judge,
    judge_same,
    minus,
    pick,
)
from metapix.evaluation.reproduce.gathering import Line
from metapix.evaluation.statistics import compare
from metapix.report.words import variant_words

_ALIKE = "metapix, trained alike"


def of_table1(lines: Lines, model: str) -> list[Claim]:
    """Section 4.2."""
    few = {line.entry.init: line for line in lines if line.entry.model == model and line.entry.steps != "all"}
    every = pick(lines, model=model, init="pretrain", steps="all")
    pairs = [
        ("MetaPix is better than the pretrained start, given the same K and T", "section 4.2", few.get("metapix"), few.get("pretrain")),
        ("The pretrained start is better than a random one", "table 1", few.get("pretrain"), few.get("random")),
        ("Few frames and few steps cost quality: learning from all frames is better", "section 4.2", every, few.get("pretrain")),
        ("MetaPix is better than pretraining for as many further steps", "ours; the paper has no such row",
         few.get("metapix"), few.get("pretrain-equal-steps")),
    ]  # fmt: skip
    claims = []
    for text, source, first, second in pairs:
        evidence = better(_between(first, second), first, second)
        claims.append(Claim("table1", text, source, judge(evidence), tuple(evidence)))
    return claims


def of_figure5(lines: Lines, model: str) -> list[Claim]:
    """Section 4.3, variation in K."""
    claims = _of_sweep("fig5", "K", "shots", lines, model)
    shots = _swept(lines, model, "shots")
    evidence = [_gap_is_larger(lines, model, shots[0], other, score) for other in shots[1:] for score in ("ssim", "psnr")]
    verdict = all_of([judge([one]) for one in evidence])
    claims.append(Claim("fig5", "MetaPix gains most over pretraining at the smallest K", "section 4.3", verdict, tuple(evidence)))
    return claims


def of_figure6(lines: Lines, model: str) -> list[Claim]:
    """Section 4.3, variation in T."""
    return _of_sweep("fig6", "T", "steps", lines, model)


def of_figure7(lines: Lines, model: str) -> list[Claim]:
    """Section 4.3, the dynamics of personalization."""
    last = max((line.entry.steps for line in lines if isinstance(line.entry.steps, int)), default=0)
    claims = []
    for steps, when in ((0, "before any step"), (last, f"after {last} steps")):
        first, second = (pick(lines, model=model, init=init, steps=steps) for init in ("metapix", "pretrain"))
        evidence = better(_between(first, second), first, second, STEADINESS)
        claims.append(
            Claim(
                "fig7", f"MetaPix is more coherent in time than the pretrained start {when}", "figure 7", judge(evidence), tuple(evidence)
            )
        )
    return claims


def of_epsilon(lines: Lines, model: str) -> list[Claim]:
    """Section 4.3, variation of the meta learning rate."""
    one, tenth, pretrained = (pick(lines, model=model, variant=variant) for variant in ("eps 1.0", "eps 0.1", "pretrain"))
    evidence = better(_between(one, tenth), one, tenth, ("ssim",))
    same = better(_between(tenth, pretrained), tenth, pretrained, ("ssim",))
    return [
        Claim("epsilon", "eps = 1 is better than eps = 0.1", "section 4.3: SSIM .51 against .47", judge(evidence), tuple(evidence)),
        Claim("epsilon", "eps = 0.1 is about the pretrained start", "section 4.3: SSIM .47", judge_same(same[0]), tuple(same)),
    ]


def of_freeze_d(lines: Lines, model: str) -> list[Claim]:
    """Section 4.3, only training the generator."""
    both = pick(lines, model=model, variant="both learned")
    claims = []
    for variant in ("D reset", "D always frozen"):
        evidence = better(
            _between(pick(lines, model=model, variant=variant), both), pick(lines, model=model, variant=variant), both, ("ssim",)
        )
        text = f"Freezing D ({variant}) is about as good as learning both"
        claims.append(Claim("freeze-d", text, "section 4.3", judge_same(evidence[0]), tuple(evidence)))
    return claims


CLAIMS: Mapping[str, ClaimsOf] = {
    "table1": of_table1,
    "fig5": of_figure5,
    "fig6": of_figure6,
    "fig7": of_figure7,
    "epsilon": of_epsilon,
    "freeze-d": of_freeze_d,
}
"""The paper says of ratios and simpler objectives only that it tried them: there is nothing to judge."""


def _of_sweep(part: str, letter: str, attribute: str, lines: Lines, model: str) -> list[Claim]:
    lines = [line for line in lines if line.entry.model == model]
    points = _swept(lines, model, attribute)
    at = {point: {line.entry.variant: line for line in lines if getattr(line.entry, attribute) == point} for point in points}
    fixed = next((variant for of_point in at.values() for variant in of_point if variant.startswith("metapix, trained at")), "")

    def over_points(variant: str, score: str) -> Mapping[str, float]:
        return averaged([at[point].get(variant) for point in points], score)

    def everywhere(other: str) -> list[list[Evidence]]:
        named = variant_words(other)
        return [better(f"MetaPix − {named} at {letter} = {p}", at[p].get(_ALIKE), at[p].get(other)) for p in points]

    elsewhere = [
        Evidence(
            f"{variant_words(fixed)} − pretrained, mean over {letter}",
            score,
            compare(over_points(fixed, score), over_points("pretrain", score)),
        )
        for score in PAPERS_SCORES
    ]
    ends = [
        better(
            f"{variant_words(variant)}: {letter} = {points[-1]} − {letter} = {points[0]}",
            at[points[-1]].get(variant),
            at[points[0]].get(variant),
        )
        for variant in ("random", "pretrain", _ALIKE)
    ]
    over_pretrained, over_random = everywhere("pretrain"), everywhere("random")
    return [
        Claim(part, f"MetaPix is better than the pretrained start at every {letter}", "section 4.3",
              all_of([judge(one) for one in over_pretrained]), _flat(over_pretrained)),
        Claim(part, f"MetaPix is better than a random start at every {letter}", "section 4.3",
              all_of([judge(one) for one in over_random]), _flat(over_random)),
        Claim(part, f"A MetaPix start trained at one {letter} does well at the others too", "section 4.3",
              judge(elsewhere), tuple(elsewhere)),
        Claim(part, f"Every start gets better with {letter}", "section 4.3", all_of([judge(one) for one in ends]), _flat(ends)),
    ]  # fmt: skip


def _gap_is_larger(lines: Lines, model: str, small: int, other: int, score: str) -> Evidence:
    def gain(shots: int) -> dict[str, float]:
        first, second = (pick(lines, model=model, variant=variant, shots=shots) for variant in (_ALIKE, "pretrain"))
        return minus(averaged([first], score), averaged([second], score))

    return Evidence(f"gain at K = {small} − gain at K = {other}", score, compare(gain(small), gain(other)))


def _swept(lines: Lines, model: str, attribute: str) -> list[int]:
    return sorted({getattr(line.entry, attribute) for line in lines if line.entry.model == model})


def _between(first: Line | None, second: Line | None) -> str:
    """ "MetaPix − pretrained at T = 20"; where K = T = all on one side only, both sides say their own."""
    names = ["(not there)" if line is None else variant_words(line.entry.variant) for line in (first, second)]
    counts = ["" if line is None else _setting_of(line) for line in (first, second)]
    if counts[0] == counts[1]:
        return f"{names[0]} − {names[1]}{counts[0]}"
    return f"{names[0]}{counts[0]} − {names[1]}{counts[1]}"


def _setting_of(line: Line) -> str:
    return " with K = T = all" if line.entry.steps == "all" else f" at T = {line.entry.steps}"


def _flat(groups: Sequence[Sequence[Evidence]]) -> tuple[Evidence, ...]:
    return tuple(one for group in groups for one in group)
