"""Exported generators draw what the originals draw, in another runtime, for any number of samples."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import gan_meta as gm
from gan_meta.models.pix2pix import Pix2PixObjective
from tests.conftest import parameters_of


def run(path, *tensors):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return session.run(None, dict(zip(names, [tensor.numpy() for tensor in tensors], strict=True)))[0]


def vivid(pair):
    """Weights large enough that the images fill [-1, 1]; small ones would make any two outputs agree."""
    with torch.no_grad():
        for parameter in pair.generator.parameters():
            parameter.mul_(8)
    return pair


def test_an_adapted_generator_draws_the_same_in_onnxruntime(tmp_path):
    torch.manual_seed(0)
    pair = vivid(gm.models.create("pix2pix", condition_channels=2, base_channels=4, n_downsample=2, discriminator_channels=4, n_layers=1))
    support = {"condition": torch.rand(4, 2, 16, 16), "image": torch.rand(4, 3, 16, 16) * 2 - 1}
    adapted = gm.adapt(pair, Pix2PixObjective(), support, gm.InnerLoop(steps=2, lr=1e-3))
    before = parameters_of(adapted)
    path = tmp_path / "someone.onnx"
    assert gm.export_onnx(adapted, path, support["condition"]) <= 1e-4
    assert [entry.name for entry in tmp_path.iterdir()] == ["someone.onnx"]
    assert adapted.generator.training
    assert all(torch.equal(before[name], parameter) for name, parameter in adapted.named_parameters())
    drawer = adapted.generator.eval()
    for n_samples in (1, 3, 7):
        condition = torch.rand(n_samples, 2, 16, 16, generator=torch.Generator().manual_seed(n_samples))
        with torch.no_grad():
            expected = drawer(condition).numpy()
        assert np.abs(expected).max() > 0.5
        np.testing.assert_allclose(run(path, condition), expected, rtol=0, atol=1e-4)


def test_what_differs_is_not_kept(tmp_path):
    pair = vivid(gm.models.create("dcgan", latent_channels=4, image_channels=1, base_channels=2, size=8, discriminator_channels=2))
    path = tmp_path / "g.onnx"
    path.write_bytes(b"the file of before")
    with pytest.raises(ValueError, match="it was not kept"):
        gm.export_onnx(pair, path, torch.randn(3, 4), tolerance=-1.0)
    assert path.read_bytes() == b"the file of before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["g.onnx"]
    with pytest.raises(ValueError, match="at least two samples"):
        gm.export_onnx(pair, path, torch.randn(1, 4))


def test_without_the_package_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    pair = gm.models.create("dcgan", latent_channels=4, image_channels=1, base_channels=2, size=8, discriminator_channels=2)
    with pytest.raises(ImportError, match=r"pip install gan-meta\[onnx\]"):
        gm.export_onnx(pair, tmp_path / "g.onnx", torch.randn(2, 4))


class Noisy(nn.Module):
    """Draws for each picture, in eval() too."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def forward(self, x):
        return self.draw(x)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda x: x + torch.randn_like(x), "give it the noise as an input"),
        (lambda x: x + 1e-9 * torch.rand(1), "give it the noise as an input"),
        (lambda x: nn.functional.dropout(x, 0.5, True), "give it the noise as an input"),
        (lambda x: x * float(np.random.rand()), "give it the noise as an input"),  # noqa: NPY002
        (lambda x: (x, x), "the generator returns a tuple"),
        (lambda x: x if x.sum() > 0 else -x, "torch cannot write this generator as ONNX"),
    ],
)
def test_what_a_file_cannot_do_is_refused(tmp_path, draw, words):
    with pytest.raises(ValueError, match=words):
        gm.export_onnx(gm.GANPair(Noisy(draw)), tmp_path / "noise.onnx", torch.rand(3, 2))
    assert not list(tmp_path.iterdir())
