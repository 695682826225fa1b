"""The registry of models: builds by name, remembers how, names mistakes, and imports nothing early."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from gan_meta import GANPair, models
from gan_meta.models import registry

TINY = {
    "pose_channels": 2,
    "base_channels": 4,
    "n_downsample": 1,
    "n_blocks": 1,
    "discriminator_channels": 4,
    "n_layers": 1,
}


@pytest.fixture
def two_layer() -> Iterator[str]:
    """A model of our own, known as long as the test runs."""

    @models.register("two-layer")
    def build_two_layer(width: int, depth: int = 1) -> GANPair:
        return GANPair(nn.Sequential(*(nn.Linear(width, width) for _ in range(depth))), None)

    yield "two-layer"
    del registry._BUILDERS["two-layer"]


def test_create_remembers_how_to_build_the_twin() -> None:
    pair = models.create("pix2pixhd", **TINY)
    assert pair.model_name == "pix2pixhd"
    assert pair.model_arguments == {
        **TINY,
        "image_channels": 3,
        "generator": "global",
        "n_enhancers": 1,
        "n_local_blocks": 3,
        "n_scales": 2,
        "upsampling": "transpose",
    }
    twin = models.create(pair.model_name, **pair.model_arguments)
    assert {key: value.shape for key, value in twin.state_dict().items()} == {key: value.shape for key, value in pair.state_dict().items()}


def test_a_local_pair_has_the_enhancer() -> None:
    pair = models.create("pix2pixhd", **TINY, generator="local", n_local_blocks=1)
    image = pair(torch.zeros(1, 2, 8, 8))
    assert type(pair.generator).__name__ == "LocalEnhancer"
    assert image.shape == (1, 3, 8, 8)
    assert pair.discriminator is not None
    assert len(pair.discriminator(torch.zeros(1, 5, 8, 8))) == 2


def test_our_own_model_is_known_by_name(two_layer: str) -> None:
    assert models.available() == tuple(sorted(models.available()))
    assert {two_layer, "pix2pixhd"} <= set(models.available())
    pair = models.create(two_layer, width=3)
    assert pair.model_arguments == {"width": 3, "depth": 1}
    with pytest.raises(TypeError, match="model 'two-layer' needs 'width'"):
        models.create(two_layer)


def test_unknown_names_come_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown model 'pix2pixdh': did you mean 'pix2pixhd'"):
        models.create("pix2pixdh")
    with pytest.raises(TypeError, match="argument of model 'pix2pixhd' 'base_chanels': did you mean 'base_channels'"):
        models.create("pix2pixhd", base_chanels=8)
    with pytest.raises(ValueError, match="unknown generator 'locl': did you mean 'local'"):
        models.create("pix2pixhd", generator="locl")
    with pytest.raises(ValueError, match="works with generator='global' only"):
        models.create("pix2pixhd", generator="local", upsampling="resize")


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="'pix2pixhd' is registered already"):

        @models.register("pix2pixhd")
        def build_another() -> GANPair:
            return GANPair(nn.Identity(), None)


def test_importing_the_registry_imports_no_extra() -> None:
    program = (
        "import sys, gan_meta.models; "
        "print([name for name in ('torchvision', 'piq', 'efficientnet_lite_pytorch', 'gan_meta.models.pix2pixhd') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_installed_packages_bring_their_own_and_are_imported_only_when_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "line_gan.py").write_text(
        "from torch import nn\nimport gan_meta as gm\n\n\ndef build(width: int = 2) -> gm.GANPair:\n"
        '    """A line."""\n    return gm.GANPair(nn.Linear(1, width))\n'
    )
    metadata = tmp_path / "line_gan-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: line-gan\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[gan_meta.models]\nline = line_gan:build\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    assert "line" in models.available()
    assert "line_gan" not in sys.modules
    pair = models.create("line", width=3)
    assert pair.model_name == "line"
    assert pair.model_arguments == {"width": 3}
    assert models.describe("line") == "gan_meta.models.create('line', width=2)\n\nA line."


@pytest.mark.parametrize("name", ["dcgan", "pix2pix", "pix2pixhd", "posewarp"])
def test_every_model_documents_every_argument(name: str) -> None:
    words = models.describe(name)
    call = words.split("\n")[0]
    for argument in re.findall(r"(\w+)=", call):
        assert re.search(rf"\b{argument}\b", words.removeprefix(call)), argument
    assert re.search(r"Generator: .*\(N, .* -> \(N, ", words)
    assert "Discriminator: " in words
    with pytest.raises(ValueError, match="unknown model"):
        models.describe(name + "?")
