"""The demo's verdict on drawn and real people: who wins, in plain sentences made from the rows themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_COMPARED = {"metapix", "pretrain-equal-steps"}


def verdict(rows: Sequence[dict[str, Any]]) -> str:
    """A sentence for each kind of people and model, and one on which model is stronger where there are two."""
    plain = [row for row in rows if row["reference"] == "none"]
    models = list(dict.fromkeys(row["model"] for row in plain if row["init"] == "metapix"))
    sentences = []
    for data in ("drawn", "real"):
        here = [row for row in plain if row["data"] == data]
        untrained = {row["init"]: row for row in here if row["model"] == "none"}
        learned = {model: {row["init"]: row for row in here if row["model"] == model} for model in models}
        if not {"nearest-frame", "puppet"} <= set(untrained) or any(not set(found) >= _COMPARED for found in learned.values()):
            continue
        for model, found in learned.items():
            sentences.append(_gain(data, model if len(models) > 1 else "", found, untrained))
        if models:
            sentences.append(f"The puppet, which learns nothing and copies pixels, has {untrained['puppet']['psnr']:.1f} dB.")
        if len(models) > 1:
            sentences.append(_stronger(data, {model: found["metapix"] for model, found in learned.items()}))
    return " ".join(sentences)


def _gain(data: str, model: str, found: dict[str, dict[str, Any]], untrained: dict[str, dict[str, Any]]) -> str:
    gain, ssim = (found["metapix"][score] - found["pretrain-equal-steps"][score] for score in ("psnr", "ssim"))
    beside = found["metapix"]["psnr"] - untrained["nearest-frame"]["psnr"]
    return (
        f"On unseen {data} people MetaPix {f'with {model} ' if model else ''}is {abs(gain):.1f} dB PSNR and {abs(ssim):.3f} SSIM "
        f"{'above' if gain > 0 and ssim > 0 else 'below' if gain < 0 and ssim < 0 else 'apart (one up, one down) from'} "
        f"the pretrained start that had as many further training steps, and {abs(beside):.1f} dB {'above' if beside > 0 else 'below'} "
        "simply copying the nearest frame."
    )


def _stronger(data: str, metapix: dict[str, dict[str, Any]]) -> str:
    """Which model draws better from its meta-learned start: in PSNR, SSIM and PSNR on the person."""
    told = []
    for score, name, digits in (("psnr", "PSNR", 1), ("ssim", "SSIM", 3), ("person_psnr", "PSNR on the person", 1)):
        known = {model: row[score] for model, row in metapix.items() if score in row}
        if len(known) == len(metapix):
            best = max(known, key=lambda model: known[model])
            others = ", ".join(f"{value:.{digits}f} for {model}" for model, value in known.items() if model != best)
            told.append(f"{best} has the higher {name} ({known[best]:.{digits}f}, {others})")
    return f"Of the two models on {data} people, {'; '.join(told)}."
