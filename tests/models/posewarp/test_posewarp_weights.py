"""Keras files that the tests write, in every layout, load into the same function; other files are refused in words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from gan_meta.models.posewarp import PosewarpGenerator, load_official_weights
from gan_meta.models.posewarp.weights import generator_arguments
from tests.models.posewarp import posewarp_reference as reference
from tests.models.posewarp.posewarp_fixtures import Convolutions, convolutions, small_batch, small_generator, write_keras_file
from tests.models.posewarp.test_posewarp_network import arguments

FROM_ONE = [f"conv2d_{number}" for number in range(1, 53)]
FROM_NONE = ["conv2d", *FROM_ONE[:51]]
LATER = [f"conv2d_{number}" for number in range(77, 129)]


@pytest.fixture(scope="module")
def bgr() -> Convolutions:
    """Weights as published: of a network that takes and gives BGR."""
    return [(kernel.float().double(), bias.float().double()) for kernel, bias in convolutions(small_generator(seed=9))]


@pytest.fixture(scope="module")
def inputs() -> dict[str, Tensor]:
    return arguments(small_batch(1, 64, seed=4))


def loaded(path: Path) -> PosewarpGenerator:
    generator = PosewarpGenerator(base_channels=2)
    load_official_weights(generator, path)
    return generator.double()


def test_the_loaded_network_is_the_bgr_network_on_turned_channels(tmp_path: Path, bgr: Convolutions, inputs: dict[str, Tensor]) -> None:
    """RGB in, RGB out, and inside the very numbers that the published network has on BGR."""
    path = write_keras_file(tmp_path / "weights.h5", bgr, FROM_ONE)
    parts = loaded(path).parts(**inputs)
    expected = reference.generator(bgr, **{**inputs, "source": inputs["source"].flip(1)})
    for name in ("image", "background", "foreground"):
        torch.testing.assert_close(parts[name], expected[name].flip(1), rtol=0, atol=1e-10)
    for name in ("masks", "foreground_mask"):
        torch.testing.assert_close(parts[name], expected[name], rtol=0, atol=1e-10)
    # The channels matter to this network.
    unturned = reference.generator(bgr, **inputs)
    assert (unturned["image"] - parts["image"]).abs().max() > 1e-2


@pytest.mark.parametrize("names", [FROM_ONE, FROM_NONE, LATER], ids=["from-1", "from-none", "later"])
@pytest.mark.parametrize("whole_model", [False, True], ids=["weights", "whole-model"])
def test_both_layouts_and_all_numberings_load_to_the_same(tmp_path: Path, bgr: Convolutions, names: list[str], whole_model: bool) -> None:
    generator = loaded(write_keras_file(tmp_path / "some.h5", bgr, names, whole_model=whole_model))
    plain = loaded(write_keras_file(tmp_path / "plain.h5", bgr, FROM_ONE))
    for name, parameter in generator.named_parameters():
        assert torch.equal(parameter, plain.get_parameter(name))


def test_only_what_touches_colours_is_turned(tmp_path: Path, bgr: Convolutions) -> None:
    found = convolutions(loaded(write_keras_file(tmp_path / "weights.h5", bgr, FROM_ONE)))
    turned = [number for number in range(52) if not torch.equal(found[number][0], bgr[number][0])]
    assert turned == [0, 17, 33, 34, 50]
    kernel, bias = bgr[17]  # three colours and a mask
    assert torch.equal(found[17][0], kernel[:, [2, 1, 0, 3]])
    assert torch.equal(found[17][1], bias)
    kernel, _ = bgr[34]  # ten limbs of three colours
    assert torch.equal(found[34][0], kernel.unflatten(1, (10, 3)).flip(2).flatten(1, 2))
    assert torch.equal(found[50][1], bgr[50][1].flip(0))


def test_a_generator_that_is_nested_in_a_model_is_found(tmp_path: Path, bgr: Convolutions) -> None:
    write_keras_file(tmp_path / "flat.h5", bgr, FROM_ONE)
    with h5py.File(tmp_path / "flat.h5") as flat, h5py.File(tmp_path / "nested.h5", "w") as nested:
        outer = nested.create_group("model_1")
        for name in FROM_ONE:
            flat.copy(f"{name}/{name}", outer, name)
    generator, plain = loaded(tmp_path / "nested.h5"), loaded(tmp_path / "flat.h5")
    assert all(torch.equal(a, b) for a, b in zip(generator.parameters(), plain.parameters(), strict=True))


def test_the_widths_are_read_off_the_file(tmp_path: Path) -> None:
    weights = convolutions(PosewarpGenerator(n_joints=7, n_limbs=4, base_channels=6))
    path = write_keras_file(tmp_path / "weights.h5", weights, FROM_ONE)
    assert generator_arguments(path) == {"n_joints": 7, "n_limbs": 4, "base_channels": 6}


def shorter(weights: Convolutions) -> tuple[Convolutions, list[str]]:
    return weights[:51], FROM_ONE[:51]


def with_a_gap(weights: Convolutions) -> tuple[Convolutions, list[str]]:
    return weights, [*FROM_ONE[:51], "conv2d_99"]


def with_a_stranger(weights: Convolutions) -> tuple[Convolutions, list[str]]:
    return [*weights, weights[0]], [*FROM_ONE, "block1_conv1"]


def with_another_width(weights: Convolutions) -> tuple[Convolutions, list[str]]:
    return convolutions(PosewarpGenerator(base_channels=4)), FROM_ONE


def with_another_bias(weights: Convolutions) -> tuple[Convolutions, list[str]]:
    return [*weights[:20], (weights[20][0], torch.zeros(3)), *weights[21:]], FROM_ONE


def with_a_hole(weights: Convolutions) -> tuple[Convolutions, list[str]]:
    return [*weights[:5], (weights[5][0] * float("nan"), weights[5][1]), *weights[6:]], FROM_ONE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shorter, "should hold 52 convolutions in sequence, found 51, numbered 1 to 51"),
        (with_a_gap, "should hold 52 convolutions in sequence, found 52, numbered 1 to 99"),
        (with_a_stranger, "not a Posewarp generator's file: it has weights of a layer 'block1_conv1'"),
        (with_another_width, r"layer conv2d_1 is a convolution of shape \(4, 3, 7, 7\) .* should be \(2, 3, 7, 7\) with 2"),
        (with_another_bias, "layer conv2d_21 is .* with 3 biases, should be .* with 4"),
        (with_a_hole, "layer conv2d_6 has weights that are not finite"),
    ],
)
def test_other_files_are_refused_and_change_nothing(
    tmp_path: Path, bgr: Convolutions, change: Callable[[Convolutions], tuple[Convolutions, list[str]]], message: str
) -> None:
    path = write_keras_file(tmp_path / "weights.h5", *change(bgr))
    generator = PosewarpGenerator(base_channels=2)
    before = [parameter.clone() for parameter in generator.parameters()]
    with pytest.raises(ValueError, match=message):
        load_official_weights(generator, path)
    assert all(torch.equal(a, b) for a, b in zip(before, generator.parameters(), strict=True))


def test_files_that_are_no_keras_files_are_refused(tmp_path: Path, bgr: Convolutions) -> None:
    generator = PosewarpGenerator(base_channels=2)
    with pytest.raises(FileNotFoundError, match="there is no weights file"):
        load_official_weights(generator, tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(ValueError, match=r"text.h5 is not a Keras HDF5 file, or is damaged"):
        load_official_weights(generator, tmp_path / "text.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(ValueError, match="should hold 52 convolutions in sequence, found none"):
        load_official_weights(generator, tmp_path / "empty.h5")
    with h5py.File(tmp_path / "loose.h5", "w") as file:
        file["conv2d_1/conv2d_1/kernel:0"] = np.zeros((7, 7, 3, 2), dtype=np.float32)
        for name in FROM_ONE[1:]:
            file[f"{name}/{name}/kernel:0"] = np.zeros((1,), dtype=np.float32)
    with pytest.raises(ValueError, match=r"layer conv2d_1 is no convolution with a bias: its weights have the shapes \(7, 7, 3, 2\)"):
        load_official_weights(generator, tmp_path / "loose.h5")
    whole = write_keras_file(tmp_path / "whole.h5", bgr, FROM_ONE).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.h5 is not a Keras HDF5 file, or is damaged"):
        load_official_weights(generator, tmp_path / "cut.h5")


def test_another_network_and_a_missing_package_are_named(tmp_path: Path, bgr: Convolutions, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_keras_file(tmp_path / "weights.h5", bgr, FROM_ONE)
    with pytest.raises(TypeError, match="these weights are a PosewarpGenerator's, got Conv2d"):
        load_official_weights(torch.nn.Conv2d(3, 3, 3), path)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'pip install "gan-meta\[keras\]"'):
        load_official_weights(PosewarpGenerator(base_channels=2), path)
