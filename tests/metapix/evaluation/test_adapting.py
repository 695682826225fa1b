"""K = T = all: as many steps as the epochs have frames, for both models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from metapix.data.drawn import draw_clip
from metapix.data.folder import write_clip
from metapix.evaluation.adapting import adapt
from metapix.evaluation.grid import Cell, Protocol
from metapix.evaluation.starts import Start
from metapix.evaluation.videos import TestVideo
from metapix.training.preset import load_preset

import gan_meta as gm

TINY = {
    "pix2pixhd": {"base_channels": 4, "n_downsample": 1, "n_blocks": 1, "discriminator_channels": 4},
    "posewarp": {"base_channels": 4},
}


@pytest.mark.parametrize("model", TINY)
def test_learning_from_all_frames_takes_ten_epochs_over_frames(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(draw_clip(1, 20, 32, fps=6), tmp_path / "clip")
    video, played = TestVideo.open(tmp_path / "clip"), []
    train = gm.pretrain

    def short(*arguments: Any, steps: int, **options: Any) -> gm.GANPair:
        played.append(steps)
        return train(*arguments, steps=1, **options)

    monkeypatch.setattr(gm, "pretrain", short)
    torch.manual_seed(0)
    start = gm.models.create(model, **TINY[model])
    preset = load_preset("demo", ["recipe.size=32", "recipe.perceptual="], model)
    cell = Cell(Start(model, "random", 0), "all", "all", video.name, video.digest, 0, Protocol(32, epochs=10))
    adapted = adapt(start, preset, cell, video, video.read([0, 1], 32))
    assert played == [-(-10 * 17 // 8)], "17 frames in the first 85%, eight a step, whatever the samples are made of"
    before, after = (torch.cat([weight.flatten() for weight in pair.parameters()]) for pair in (start, adapted))
    assert not torch.equal(before, after)
