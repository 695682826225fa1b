"""GANPair: names, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gan_meta as gm


def test_names_start_with_the_player():
    pair = gm.GANPair(nn.Linear(2, 2), nn.Linear(2, 1))
    assert [name for name, _ in pair.named_parameters()] == [
        "generator.weight", "generator.bias", "discriminator.weight", "discriminator.bias",
    ]  # fmt: skip
    assert gm.GANPair(nn.Linear(2, 2)).players == ("generator",)
    assert torch.equal(pair(torch.ones(1, 2)), pair.generator(torch.ones(1, 2)))


def test_refusals():
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="share 2 parameter"):
        gm.GANPair(nn.Sequential(layer), nn.Sequential(layer, nn.Linear(2, 1)))
    with pytest.raises(TypeError, match=r"generator must be an nn\.Module"):
        gm.GANPair(lambda x: x)


def test_import_is_light():
    import subprocess
    import sys

    code = (
        "import sys, gan_meta; print(*[m for m in ('torchvision', 'piq', 'mediapipe', 'cv2', 'matplotlib', 'typer') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
