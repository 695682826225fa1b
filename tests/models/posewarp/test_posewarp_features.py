"""Posewarp's features against plain VGG19s with either family of weights, and response statistics against numpy."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor, nn

from gan_meta import cli
from gan_meta.image_files import find_images, read_image
from gan_meta.models.perceptual import efficientnet_lite0
from gan_meta.models.posewarp.features import (
    NormalizedResponses,
    posewarp_features,
    read_statistics,
    response_statistics,
    save_statistics,
)

KERAS_NAMES = [f"block{block}_conv{number}" for block, count in ((1, 2), (2, 2), (3, 4), (4, 4), (5, 4)) for number in range(1, count + 1)]
CHANNELS = [64, 64, 128, 128, *[256] * 4, *[512] * 4]


def random_images(seed: int, n: int, size: int) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def twelve_maps(kernels: list[tuple[Tensor, Tensor]], x: Tensor) -> list[Tensor]:
    """VGG19 with average pooling, written down once more."""
    maps = []
    for number, (kernel, bias) in enumerate(kernels[:12]):
        if number in (2, 4, 8):
            x = (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4
        x = F.conv2d(x, kernel, bias, padding=1).clamp_min(0)
        maps.append(x)
    return maps


@pytest.fixture(scope="module")
def kernels() -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    network = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["E"])
    return [(layer.weight.detach(), layer.bias.detach()) for layer in network if isinstance(layer, nn.Conv2d)]


def test_torchvisions_weights_see_what_they_were_trained_on(tmp_path: Path, kernels: list[tuple[Tensor, Tensor]]) -> None:
    network = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["E"])
    places = [number for number, layer in enumerate(network) if isinstance(layer, nn.Conv2d)]
    state = {}
    for place, (kernel, bias) in zip(places, kernels, strict=True):
        state.update({f"features.{place}.weight": kernel, f"features.{place}.bias": bias})
    torch.save(state, tmp_path / "vgg19.pth")
    images = random_images(1, 2, 16)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    expected = twelve_maps(kernels, ((images + 1) / 2 - mean) / std)
    found = posewarp_features("vgg19", tmp_path / "vgg19.pth")(images)
    assert [feature.shape[1] for feature in found] == CHANNELS
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_keras_weights_see_the_published_input(tmp_path: Path, kernels: list[tuple[Tensor, Tensor]]) -> None:
    """BGR, 255 * (x + 1) / 2 minus the means."""
    with h5py.File(tmp_path / "vgg19.h5", "w") as file:
        for name, (kernel, bias) in zip(KERAS_NAMES, kernels, strict=True):
            file[f"{name}/{name}_W_1:0"] = kernel.permute(2, 3, 1, 0).numpy()
            file[f"{name}/{name}_b_1:0"] = bias.numpy()
    images = random_images(2, 2, 16)
    prepared = 255 * (images.flip(1) + 1) / 2 - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    for ours, theirs in zip(posewarp_features("vgg19", tmp_path / "vgg19.h5")(images), twelve_maps(kernels, prepared), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    with h5py.File(tmp_path / "half.h5", "w") as file:
        file["block1_conv1/kernel:0"] = np.zeros((3, 3, 3, 64), dtype=np.float32)
    with pytest.raises(ValueError, match=r"has no layers block1_conv2, block2_conv1, .*; its layers: block1_conv1"):
        posewarp_features("vgg19", tmp_path / "half.h5")


def test_features_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    images = random_images(3, 1, 32)
    assert [feature.shape[1] for feature in posewarp_features("vgg19-random")(images)] == CHANNELS
    for ours, theirs in zip(posewarp_features("efficientnet_lite0")(images), efficientnet_lite0()(images), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match="unknown Posewarp features 'vgg': did you mean 'vgg19'"):
        posewarp_features("vgg")
    with pytest.raises(ValueError, match="have weights of their own"):
        posewarp_features("efficientnet_lite0", tmp_path / "some.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="VGG19's weights are not at"):
        posewarp_features("vgg19")


# -- response statistics --------------------------------------------------------------------------------------------------------


class TwoMaps(nn.Module):
    """Images to themselves shifted, and to a pooled product."""

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images + 100, F.avg_pool2d(images[:, :2] * images[:, 1:], 2)]


def test_statistics_are_means_and_deviations_over_all_images_and_places() -> None:
    batches = [random_images(4, 2, 8), random_images(5, 1, 12), random_images(6, 3, 8) * 3]
    found = response_statistics(TwoMaps(), batches)
    for number, table in enumerate(found):
        maps = [TwoMaps()(images)[number].double().numpy() for images in batches]
        values = np.concatenate([feature.transpose(1, 0, 2, 3).reshape(feature.shape[1], -1) for feature in maps], 1)
        np.testing.assert_allclose(table.numpy(), np.stack([values.mean(1), values.std(1)]), rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match="no images"):
        response_statistics(TwoMaps(), [])


def test_normalised_responses_divide_by_deviation_plus_a_tenth() -> None:
    images = random_images(7, 2, 8)
    tables = [torch.tensor([[1.0, 2, 3], [0.4, 0.9, 0.0]]), torch.tensor([[0.0, 0.0], [1.9, 4.9]])]
    responses = NormalizedResponses(TwoMaps(), tables)
    first, second = responses(images)
    torch.testing.assert_close(first, (images + 100) * torch.tensor([2.0, 1.0, 10.0]).view(3, 1, 1))
    torch.testing.assert_close(second, TwoMaps()(images)[1] * torch.tensor([0.5, 0.2]).view(2, 1, 1))
    assert responses.layer_weights == (0.5, 0.5)
    with pytest.raises(ValueError, match=r"the statistics are for maps of \[2, 3\] channels, these features have \[3, 2\]"):
        NormalizedResponses(TwoMaps(), tables[::-1])(images)
    for bad in (torch.zeros(3, 2), torch.tensor([[0.0], [-1.0]]), torch.tensor([[0.0], [float("nan")]])):
        with pytest.raises(ValueError, match=r"statistics of map 0 must be \(2, C\)"):
            NormalizedResponses(TwoMaps(), [bad])


def test_statistics_files_come_back(tmp_path: Path) -> None:
    tables = [torch.rand(2, 3) for _ in range(12)]
    save_statistics(tmp_path / "s.safetensors", tables)
    assert all(torch.equal(a, b) for a, b in zip(read_statistics(tmp_path / "s.safetensors"), tables, strict=True))
    torch.save({"first": torch.zeros(2, 3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="holds no response statistics"):
        read_statistics(tmp_path / "other.pth")


# -- the command ----------------------------------------------------------------------------------------------------------------


def write(path: Path, pixels: Tensor) -> None:
    Image.fromarray(pixels.permute(1, 2, 0).squeeze(2).numpy()).save(path)


def run_statistics(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["gan-meta", "statistics", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def test_the_command_measures_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "frames" / "more").mkdir(parents=True)
    pixels = torch.randint(256, (3, 3, 40, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(8))
    write(tmp_path / "frames" / "a.png", pixels[0])
    write(tmp_path / "frames" / "more" / "b.jpg", pixels[1])
    write(tmp_path / "grey.png", pixels[2, :1])
    places = [tmp_path / "frames", tmp_path / "grey.png"]
    out = tmp_path / "statistics.safetensors"
    assert run_statistics(monkeypatch, *places, "--out", out, "--features", "efficientnet_lite0") == 0
    assert "5 maps of efficientnet_lite0 over 3 images" in capsys.readouterr().out
    files = find_images(places)
    assert [file.name for file in files] == ["a.png", "b.jpg", "grey.png"]
    images = [read_image(file) for file in files]
    torch.testing.assert_close(images[0][0], pixels[0] / 127.5 - 1)
    torch.testing.assert_close(images[2][0], (pixels[2, :1] / 127.5 - 1).expand(3, 40, 48))
    expected = response_statistics(efficientnet_lite0(), images)
    assert all(torch.equal(a, b) for a, b in zip(read_statistics(out), expected, strict=True))
    assert run_statistics(monkeypatch, *places, "--out", out, "--features", "efficientnet_lite0", "--size", 64) == 0
    assert not torch.equal(read_statistics(out)[0], expected[0])


def test_the_command_names_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    write(tmp_path / "small.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    write(tmp_path / "cut.png", torch.randint(256, (3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(9)))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    out = tmp_path / "out.safetensors"
    lite0 = ("--out", out, "--features", "efficientnet_lite0")
    for arguments, message in (
        ((tmp_path / "absent", *lite0), "there is no image at"),
        ((tmp_path / "text.png", *lite0), "text.png is not an image that can be read"),
        ((tmp_path / "cut.png", *lite0), "cut.png is not an image that can be read"),
        ((tmp_path / "empty.png", *lite0), "empty.png is not an image that can be read"),
        ((tmp_path / "small.png", *lite0), "small.png is 8x8, too small for these features: they need 32x32; give --size"),
        ((tmp_path / "small.png", *lite0, "--device", "abacus"), "the device 'abacus' cannot be used"),
        ((tmp_path / "small.png", "--out", tmp_path / "out.mat"), "must end in .safetensors"),
    ):
        assert run_statistics(monkeypatch, *arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert message in captured.err
        assert len(captured.err.splitlines()) == 1
    assert not out.exists()
