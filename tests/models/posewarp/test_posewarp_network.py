"""Posewarp's generator and discriminator against plain functions of their weights, and the laws they obey."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_meta import GANPair, load_pair, models, save_pair
from gan_meta.models.posewarp import PosewarpDiscriminator, PosewarpGenerator, pose_inputs
from tests.models.posewarp import posewarp_reference as reference
from tests.models.posewarp.posewarp_fixtures import convolutions, small_batch, small_generator


def arguments(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    size = tuple(batch["source"].shape[2:])
    return {"source": batch["source"], **pose_inputs(batch["source_joints"], batch["target_joints"], size=size)}


def test_every_part_equals_the_plain_implementation() -> None:
    generator, inputs = small_generator(), arguments(small_batch(1))
    expected = reference.generator(convolutions(generator), **inputs)
    parts = generator.parts(**inputs)
    assert set(parts) == set(expected)
    for name, part in parts.items():
        torch.testing.assert_close(part, expected[name], rtol=0, atol=1e-10)
        assert part.std() > 0.005  # nothing saturates
    assert torch.equal(generator(**inputs), parts["image"])


def test_the_published_widths() -> None:
    generator = PosewarpGenerator()
    widths = [tuple(kernel.shape) for kernel, _ in convolutions(generator)]
    assert len(widths) == 52
    encoder = [(64, 3, 7, 7), (64, 64, 3, 3), (128, 78, 3, 3), *[(128, 128, 3, 3)] * 8]
    decoder = [*[(128, 256, 3, 3)] * 4, (32, 192, 3, 3)]
    assert widths[:17] == [*encoder, *decoder, (11, 32, 3, 3)]
    assert widths[17] == (64, 4, 7, 7)
    assert widths[32:34] == [(64, 192, 3, 3), (3, 64, 3, 3)]
    assert widths[34] == (64, 30, 7, 7)
    assert widths[49:] == [(64, 192, 3, 3), (3, 64, 3, 3), (1, 64, 3, 3)]
    # Counted by hand: a U-Net of k input channels and last width l has 2,487,808 + 3,136 k + 1,729 l weights.
    unets = 3 * 2_487_808 + 3136 * (3 + 4 + 30) + 1729 * (32 + 64 + 64)
    heads = 11 * (9 * 32 + 1) + 2 * 3 * (9 * 64 + 1) + (9 * 64 + 1)
    assert sum(parameter.numel() for parameter in generator.parameters()) == unets + heads


@pytest.mark.parametrize("shape", [(32, 32), (64, 96)])
def test_any_multiple_of_32_will_do(shape: tuple[int, int]) -> None:
    joints = torch.rand(1, 14, 2, dtype=torch.float64) * 32
    parts = small_generator().parts(torch.zeros(1, 3, *shape, dtype=torch.float64), **pose_inputs(joints, joints, size=shape))
    assert parts["image"].shape == (1, 3, *shape)
    torch.testing.assert_close(parts["masks"].sum(1), torch.ones(1, *shape, dtype=torch.float64))


def test_a_batch_equals_its_samples() -> None:
    generator, inputs = small_generator(), arguments(small_batch(3, 32))
    together = generator.parts(**inputs)
    for sample in range(3):
        alone = generator.parts(**{name: tensor[sample : sample + 1] for name, tensor in inputs.items()})
        for name, part in alone.items():
            torch.testing.assert_close(together[name][sample : sample + 1], part, rtol=0, atol=1e-12)


def test_limbs_go_where_the_target_pose_has_them() -> None:
    """With the same pose for both nothing moves; with all joints four pixels to the right, so do the limbs."""
    generator, batch = small_generator(), small_batch(1)
    masks = torch.rand(1, 11, 64, 64, dtype=torch.float64)
    cut = (batch["source"][:, None] * masks[:, 1:, None]).flatten(1, 2)
    joints = batch["source_joints"]
    still = generator.warped_limbs(batch["source"], masks, pose_inputs(joints, joints, size=64)["transforms"])
    torch.testing.assert_close(still, cut, rtol=0, atol=1e-10)
    shift = torch.tensor([4.0, 0.0], dtype=torch.float64)
    moved = generator.warped_limbs(batch["source"], masks, pose_inputs(joints, joints + shift, size=64)["transforms"])
    torch.testing.assert_close(moved[..., 5:], cut[..., 1:-4], rtol=0, atol=1e-10)


def test_gradients_reach_every_weight_the_source_and_the_joints() -> None:
    generator, batch = small_generator(), small_batch(2, 32)
    learned = [batch["source"], batch["source_joints"], batch["target_joints"]]
    for tensor in learned:
        tensor.requires_grad_()
    image = generator(**arguments(batch))
    gradients = torch.autograd.grad(image.square().mean(), [*learned, *generator.parameters()])
    for gradient in gradients:
        assert bool(gradient.isfinite().all())
        assert gradient.abs().max() > 1e-9


def test_first_and_second_derivatives_agree_with_differences_along_a_line() -> None:
    generator, inputs = small_generator(), arguments(small_batch(1, 32))
    weights = list(generator.parameters())
    draws = torch.Generator().manual_seed(5)
    directions = [torch.randn(weight.shape, generator=draws, dtype=torch.float64) for weight in weights]

    def slope(step: float) -> Tensor:
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight += step * direction
        loss = generator(**inputs).pow(2).mean()
        gradients = torch.autograd.grad(loss, weights, create_graph=True)
        return torch.stack([(gradient * direction).sum() for gradient, direction in zip(gradients, directions, strict=True)]).sum()

    here = slope(0.0)
    curvature = sum(
        (second * direction).sum().item() for second, direction in zip(torch.autograd.grad(here, weights), directions, strict=True)
    )
    step = 1e-7
    numeric = (slope(step).item() - slope(-2 * step).item()) / (2 * step)
    assert curvature == pytest.approx(numeric, rel=1e-4)
    assert abs(curvature) > 1e-3


def test_the_discriminator_equals_a_plain_implementation() -> None:
    judge = PosewarpDiscriminator(size=(32, 64), base_channels=2).double()
    draws = torch.Generator().manual_seed(3)
    image = torch.rand(2, 3, 32, 64, generator=draws, dtype=torch.float64)
    poses = [torch.rand(2, 14, 16, 32, generator=draws, dtype=torch.float64) for _ in range(2)]
    layers = convolutions(judge)
    assert [tuple(kernel.shape) for kernel, _ in layers] == [(2, 3, 5, 5), (4, 30, 5, 5), (8, 4, 3, 3), *[(8, 8, 3, 3)] * 3]

    def pooled(number: int, x: Tensor) -> Tensor:
        x = reference.conv(layers, number, x)
        return torch.stack([x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]).max(0).values

    x = torch.cat([pooled(0, image), *poses], 1)
    for number in (1, 2, 3, 4):
        x = pooled(number, x)
    x = reference.conv(layers, 5, x).reshape(2, -1)
    dense = [layer for layer in judge.modules() if isinstance(layer, nn.Linear)]
    for layer in dense[:2]:
        x = F.linear(x, layer.weight, layer.bias).relu()
    expected = F.linear(x, dense[2].weight, dense[2].bias)
    found = judge(image, *poses)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert found.shape == (2, 1)


def test_the_published_discriminator() -> None:
    judge = PosewarpDiscriminator()
    assert [tuple(kernel.shape[:2]) for kernel, _ in convolutions(judge)] == [(64, 3), (128, 92), (256, 128), *[(256, 256)] * 3]
    assert judge.dense[0].in_features == 8 * 8 * 256


def test_the_registry_builds_both_stages_and_files_bring_them_back(tmp_path) -> None:
    alone = models.create("posewarp", base_channels=2)
    assert alone.discriminator is None
    assert alone.players == ("generator",)
    both = models.create("posewarp", base_channels=2, discriminator=True, size=64, discriminator_channels=2, padding="zeros")
    assert isinstance(both.discriminator, PosewarpDiscriminator)
    save_pair(both, tmp_path / "pair.safetensors")
    again = load_pair(tmp_path / "pair.safetensors")
    inputs = {name: tensor.float() for name, tensor in arguments(small_batch(1)).items()}
    assert isinstance(again, GANPair)
    assert torch.equal(again(**inputs), both(**inputs))
    assert "posewarp" in models.available()


def test_padding_modes_differ_only_outside() -> None:
    batch = small_batch(1)
    inputs = arguments(batch)
    masks = torch.ones(1, 11, 64, 64, dtype=torch.float64)
    warped = {
        name: small_generator(padding=name).warped_limbs(batch["source"], masks, inputs["transforms"])
        for name in ("published", "border", "zeros")
    }
    inside = (warped["border"] - warped["zeros"]).abs() < 1e-12
    assert 0.05 < inside.double().mean() < 0.95
    torch.testing.assert_close(warped["published"][inside], warped["border"][inside])


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("source", (1, 3, 60, 64), r"RGB images \(N, 3, H, W\) whose height and width are multiples of 32, got \(1, 3, 60, 64\)"),
        ("source", (1, 4, 64, 64), "RGB images"),
        ("source", (0, 3, 64, 64), "RGB images"),
        ("source_pose", (1, 14, 64, 64), r"source_pose must be \(1, 14, 32, 32\), got \(1, 14, 64, 64\); make it with pose_inputs"),
        ("target_pose", (1, 13, 32, 32), "target_pose must be"),
        ("log_masks", (2, 11, 64, 64), r"log_masks must be \(1, 11, 64, 64\)"),
        ("transforms", (1, 10, 2, 3), r"transforms must be \(1, 11, 2, 3\)"),
    ],
)
def test_wrong_shapes_are_named(name: str, shape: tuple[int, ...], message: str) -> None:
    inputs = arguments(small_batch(1))
    inputs[name] = torch.zeros(shape, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        small_generator()(**inputs)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="unknown warp padding 'mirror'"):
        PosewarpGenerator(padding="mirror")
    with pytest.raises(ValueError, match="even base_channels, got n_joints=14, n_limbs=10, base_channels=3"):
        PosewarpGenerator(base_channels=3)
    with pytest.raises(ValueError, match="multiple of 32"):
        PosewarpDiscriminator(size=100)
    judge = PosewarpDiscriminator(size=32, base_channels=2)
    with pytest.raises(ValueError, match=r"built for images \(N, 3, 32, 32\), got \(1, 3, 64, 64\)"):
        judge(torch.zeros(1, 3, 64, 64), torch.zeros(1, 14, 16, 16), torch.zeros(1, 14, 16, 16))
    with pytest.raises(ValueError, match=r"both poses must be \(1, 14, 16, 16\), got \(1, 14, 16, 16\) and \(1, 14, 8, 16\)"):
        judge(torch.zeros(1, 3, 32, 32), torch.zeros(1, 14, 16, 16), torch.zeros(1, 14, 8, 16))
