"""The example with a GAN of its own: the sizes that it promises, sound losses, real glyphs, and a whole run in miniature."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import gan_meta as gm

SCRIPT = Path(__file__).parents[1] / "examples" / "fewshot_glyphs" / "glyphs.py"


@pytest.fixture(scope="module")
def glyphs() -> ModuleType:
    specification = importlib.util.spec_from_file_location("glyphs", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    sys.modules["glyphs"] = module
    specification.loader.exec_module(module)
    return module


def test_it_is_as_short_as_it_says():
    source = SCRIPT.read_text(encoding="utf-8")
    names = {"Generator", "Discriminator", "features", "GlyphObjective"}
    parts = [node for node in ast.parse(source).body if getattr(node, "name", None) in names]
    assert len(parts) == 4
    assert sum(node.end_lineno - node.lineno + 1 for node in parts) <= 60
    assert len(source.splitlines()) <= 150


def test_every_family_is_real_and_shows_all_letters(glyphs):
    fonts = [font for family in (*glyphs.TRAINING, *glyphs.UNSEEN) for font in glyphs.styles(family)]
    assert not set(glyphs.TRAINING) & set(glyphs.UNSEEN)
    for font in fonts:
        assert font["image"].shape == (26, 1, 32, 32)
        assert float(font["image"].min()) == -1
        ink = (font["image"] + 1).mean((1, 2, 3)) / 2
        assert 0.005 < float(ink.min()) < float(ink.max()) < 0.6
        assert len({tuple(image.flatten().tolist()) for image in font["image"]}) == 26
    assert len({tuple(font["image"].flatten().tolist()) for font in fonts}) == len(fonts)


def test_its_gan_passes_the_check(glyphs):
    torch.manual_seed(0)
    font = next(glyphs.styles("arvo"))
    task = gm.FewShotTasks([font], 8, 18).sample(0)
    report = gm.check(gm.GANPair(glyphs.Generator(8), glyphs.Discriminator(8)), glyphs.GlyphObjective(), task)
    assert report.ok, str(report)
    assert report.algorithms == {"reptile": True, "fomaml": True, "maml": True}


def test_the_reader_reads_fonts(glyphs):
    torch.manual_seed(0)
    fonts = list(glyphs.styles("arvo"))
    everything = {key: torch.cat([font[key] for font in fonts]) for key in ("letter", "image")}
    read = glyphs.reader(everything)
    assert float((read(everything["image"]).argmax(1) == everything["letter"].argmax(1)).float().mean()) > 0.95
    assert float((read(next(glyphs.styles("bitter"))["image"]).argmax(1) == torch.arange(26)).float().mean()) > 0.3


@pytest.mark.parametrize("algorithm", ["reptile", "fomaml", "maml"])
def test_a_run_in_miniature(glyphs, algorithm, tmp_path, monkeypatch):
    small_generator, small_discriminator, pretrain = glyphs.Generator, glyphs.Discriminator, gm.pretrain
    monkeypatch.setattr(glyphs, "reader", lambda everything: nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 26)))
    monkeypatch.setattr(glyphs, "TRAINING", ("arvo", "lobster"))
    monkeypatch.setattr(glyphs, "UNSEEN", ("righteous",))
    monkeypatch.setattr(glyphs, "Generator", lambda: small_generator(4))
    monkeypatch.setattr(glyphs, "Discriminator", lambda: small_discriminator(4))
    monkeypatch.setattr(gm, "pretrain", lambda *arguments, steps, **options: pretrain(*arguments, steps=min(steps, 2), **options))
    app = typer.Typer()
    app.command()(glyphs.main)
    out = tmp_path / "glyphs.png"
    result = CliRunner().invoke(app, ["--algorithm", algorithm, "--steps", "2", "--iterations", "2", "--out", str(out)])
    assert result.exit_code == 0, result.output
    for row in ("scratch", "pretrained", "fair", algorithm, "nearest training font", "the font itself"):
        assert row in result.output
    picture = np.asarray(Image.open(out))
    assert picture.shape == (5 * 32, 26 * 32)
    truth = (next(glyphs.styles("righteous"))["image"][:, 0] + 1) * 127.5
    np.testing.assert_allclose(picture[:32], torch.cat(list(truth), 1).numpy(), atol=1)
