"""pix2pixHD's networks and published weights, against closed forms and an independent implementation."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gan_meta.models.pix2pixhd import GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator, load_official_weights
from tests.models.pix2pixhd import pix2pixhd_reference as reference


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomized(network: nn.Module, seed: int = 0) -> nn.Module:
    """In float64, with weights large enough that every layer matters."""
    network.double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.3, generator=generator)
    return network


# -- published names, shapes and sizes --------------------------------------------------------------------------------------------


def test_global_generator_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        network = GlobalGenerator(18)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    expected: dict[str, tuple[int, ...]] = {"model.1": (64, 18, 7, 7), "model.38": (3, 64, 7, 7)}
    expected |= {f"model.{4 + 3 * i}": (64 * 2 ** (i + 1), 64 * 2**i, 3, 3) for i in range(4)}
    expected |= {f"model.{16 + i}.conv_block.{j}": (1024, 1024, 3, 3) for i in range(9) for j in (1, 5)}
    # A transposed convolution's weight has its input channels first.
    expected |= {f"model.{25 + 3 * i}": (1024 // 2**i, 512 // 2**i, 3, 3) for i in range(4)}
    outputs: dict[str, tuple[int, ...]] = {
        key: (shape[1] if 25 <= int(key.split(".")[1]) <= 34 else shape[0],) for key, shape in expected.items()
    }
    assert shapes == {f"{key}.weight": shape for key, shape in expected.items()} | {f"{key}.bias": shape for key, shape in outputs.items()}


def test_global_generator_size_in_closed_form() -> None:
    with torch.device("meta"):
        network = GlobalGenerator(18)
    width, ladder = 64, [64 * 2**i for i in range(4)]
    halvings = sum(9 * c * 2 * c + 2 * c for c in ladder)
    doublings = sum(9 * 2 * c * c + c for c in ladder)
    blocks = 9 * 2 * (9 * 1024**2 + 1024)
    ends = (49 * 18 * width + width) + (49 * width * 3 + 3)
    assert sum(p.numel() for p in network.parameters()) == halvings + doublings + blocks + ends == 182_490_307


def test_local_enhancer_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in LocalEnhancer(18).state_dict().items() if key.endswith("weight")}
        inner = {key: tuple(value.shape) for key, value in GlobalGenerator(18).state_dict().items() if key.endswith("weight")}
    del inner["model.38.weight"]
    assert shapes == inner | {
        "model1_1.1.weight": (32, 18, 7, 7),
        "model1_1.4.weight": (64, 32, 3, 3),
        **{f"model1_2.{i}.conv_block.{j}.weight": (64, 64, 3, 3) for i in range(3) for j in (1, 5)},
        "model1_2.3.weight": (64, 32, 3, 3),
        "model1_2.7.weight": (3, 32, 7, 7),
    }


def test_discriminator_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in MultiscaleDiscriminator(21).state_dict().items()}
        deep = MultiscaleDiscriminator(21, n_layers=5).state_dict()
    widths = [21, 64, 128, 256, 512, 1]
    expected: dict[str, tuple[int, ...]] = {
        f"scale{s}_layer{j}.0.weight": (widths[j + 1], widths[j], 4, 4) for s in range(2) for j in range(5)
    }
    expected |= {f"scale{s}_layer{j}.0.bias": (widths[j + 1],) for s in range(2) for j in range(5)}
    assert shapes == expected
    assert deep["scale0_layer4.0.weight"].shape == deep["scale0_layer5.0.weight"].shape == (512, 512, 4, 4)


def test_weights_start_as_published() -> None:
    torch.manual_seed(0)
    for network in (GlobalGenerator(4, base_channels=16, n_downsample=2, n_blocks=1), MultiscaleDiscriminator(7, 16, 2, 1)):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                # The mean and standard deviation of n draws, within five of their standard errors.
                n = module.weight.numel()
                assert abs(module.weight.mean().item()) < 5 * 0.02 / n**0.5
                assert abs(module.weight.std().item() / 0.02 - 1) < 5 / (2 * n) ** 0.5
                assert module.bias is not None
                assert module.bias.abs().max() > 0


# -- the same function as the published networks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_downsample", "n_blocks", "size"), [(1, 0, (8, 6)), (2, 2, (16, 24)), (3, 1, (32, 16))])
def test_global_generator_equals_the_reference(n_downsample: int, n_blocks: int, size: tuple[int, int]) -> None:
    network = randomized(GlobalGenerator(5, 3, 4, n_downsample, n_blocks))
    inputs = random(1, 2, 5, *size)
    assert_same(network(inputs), reference.global_generator(network.state_dict(), inputs, n_downsample, n_blocks))


@pytest.mark.parametrize(("n_enhancers", "n_local_blocks"), [(1, 3), (2, 1)])
def test_local_enhancer_equals_the_reference(n_enhancers: int, n_local_blocks: int) -> None:
    network = randomized(LocalEnhancer(5, 3, 2, 1, 1, n_enhancers, n_local_blocks))
    inputs = random(1, 2, 5, 16, 24)
    expected = reference.local_enhancer(network.state_dict(), inputs, 1, 1, n_enhancers, n_local_blocks)
    assert_same(network(inputs), expected)


@pytest.mark.parametrize(("n_layers", "n_scales", "size"), [(3, 2, (32, 32)), (1, 3, (21, 30))])
def test_discriminator_equals_the_reference_finest_first(n_layers: int, n_scales: int, size: tuple[int, int]) -> None:
    network = randomized(MultiscaleDiscriminator(5, 4, n_layers, n_scales))
    inputs = random(1, 2, 5, *size)
    found, expected = network(inputs), reference.discriminator(network.state_dict(), inputs, n_layers, n_scales)
    assert [len(stages) for stages in found] == [n_layers + 2] * n_scales
    heights = [stages[0].shape[2] for stages in found]
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == n_scales
    for ours, theirs in zip(chain(*found), chain(*expected), strict=True):
        assert_same(ours, theirs)


def test_resize_upsampling_is_nearest_then_convolution_and_keeps_the_names() -> None:
    network = randomized(GlobalGenerator(5, 3, 4, 1, 0, upsampling="resize"))
    state, inputs = network.state_dict(), random(1, 2, 5, 8, 8)
    x = reference.normalize(reference.conv(state, "model.1", reference.reflect(inputs, 3))).relu()
    x = reference.normalize(reference.conv(state, "model.4", x, stride=2, padding=1)).relu()
    x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    x = reference.normalize(reference.conv(state, "model.7.1", x, padding=1)).relu()
    assert_same(network(inputs), reference.conv(state, "model.11", reference.reflect(x, 3)).tanh())
    with pytest.raises(
        ValueError, match=r"missing \(2\): model.7.1.weight, model.7.1.bias; unexpected \(2\): model.7.weight, model.7.bias"
    ):
        load_official_weights(network, GlobalGenerator(5, 3, 4, 1, 0).state_dict())


# -- published weights ------------------------------------------------------------------------------------------------------------


def make_networks() -> list[nn.Module]:
    return [GlobalGenerator(2, 3, 4, 1, 1), LocalEnhancer(2, 3, 2, 1, 1), MultiscaleDiscriminator(5, 4, 1)]


@pytest.mark.parametrize("kind", ["dict", "pth", "safetensors"])
def test_published_weights_make_a_round_trip(kind: str, tmp_path: Path) -> None:
    for source, target in zip(make_networks(), make_networks(), strict=True):
        state = source.state_dict()
        path = tmp_path / f"latest_net.{kind}"
        if kind == "pth":
            torch.save(state, path)
        elif kind == "safetensors":
            save_file(state, path)
        load_official_weights(target, state if kind == "dict" else path)
        for key, value in target.state_dict().items():
            assert torch.equal(value, state[key])


def test_weights_that_do_not_fit_are_refused_by_key_and_nothing_is_loaded() -> None:
    network = GlobalGenerator(2, 3, 4, 1, 1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = {key: torch.ones_like(value) for key, value in before.items()}
    del state["model.1.bias"]
    state["model.1.weight"] = torch.zeros(4, 3, 7, 7)
    state["model.99.weight"] = torch.zeros(1)
    pattern = (
        r"this GlobalGenerator.*missing \(1\): model.1.bias; unexpected \(1\): model.99.weight; "
        r"mis-shaped \(1\): model.1.weight is \(4, 3, 7, 7\), should be \(4, 2, 7, 7\)"
    )
    with pytest.raises(ValueError, match=pattern):
        load_official_weights(network, state)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_files_that_are_no_state_dict_are_refused(tmp_path: Path) -> None:
    network = MultiscaleDiscriminator(5, 4, 1)
    with pytest.raises(FileNotFoundError, match="no weights file"):
        load_official_weights(network, tmp_path / "absent.pth")
    torch.save(network, tmp_path / "pickled.pth")
    with pytest.raises(ValueError, match="holds more than tensors"):
        load_official_weights(network, tmp_path / "pickled.pth")
    torch.save({"epoch": 3, "weights": {}}, tmp_path / "nested.pth")
    with pytest.raises(ValueError, match="not a plain state dict"):
        load_official_weights(network, tmp_path / "nested.pth")
    for name in ("damaged.safetensors", "damaged.pth", "empty.pth"):
        (tmp_path / name).write_bytes(b"" if name == "empty.pth" else b"no weights here, only some words")
        with pytest.raises(ValueError, match="is damaged"):
            load_official_weights(network, tmp_path / name)


# -- inputs -----------------------------------------------------------------------------------------------------------------------


def test_sizes_that_do_not_fit_are_refused_with_a_sentence() -> None:
    network = GlobalGenerator(2, 3, 2, 2, 1)
    with pytest.raises(ValueError, match="multiples of 4 and at least 8, got 16x18"):
        network(torch.zeros(1, 2, 16, 18))
    with pytest.raises(ValueError, match="at least 8, got 4x8"):
        network(torch.zeros(1, 2, 4, 8))
    with pytest.raises(ValueError, match=r"takes one tensor \(N, 2, H, W\), got \(1, 3, 8, 8\)"):
        network(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"LocalEnhancer needs .* multiples of 8 and at least 16, got 20x16"):
        LocalEnhancer(2, 3, 2, 2, 1)(torch.zeros(1, 2, 20, 16))
    with pytest.raises(ValueError, match="unknown upsampling 'bilinear'"):
        GlobalGenerator(2, upsampling="bilinear")
    assert network(torch.zeros(1, 2, 8, 12)).shape == (1, 3, 8, 12)


def test_second_derivatives_are_right() -> None:
    """With smooth activations, against finite differences of first derivatives."""
    network = GlobalGenerator(2, 3, 2, 1, 1)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.SiLU())
    randomized(network)
    assert torch.autograd.gradgradcheck(network, random(2, 1, 2, 4, 4).requires_grad_(), fast_mode=True)
