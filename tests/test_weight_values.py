"""What is no weight is refused by name wherever weights are loaded, and nothing is copied."""

from __future__ import annotations

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import gan_meta as gm
from gan_meta.checkpoint import load_tensors, save_tensors
from gan_meta.models.pix2pixhd import load_official_weights
from gan_meta.models.posewarp import PosewarpGenerator
from gan_meta.models.posewarp import load_official_weights as load_posewarp
from gan_meta.models.posewarp.features import read_statistics, save_statistics
from gan_meta.weight_values import value_problems
from tests.conftest import smooth_pair
from tests.models.posewarp.posewarp_fixtures import convolutions, write_keras_file
from tests.models.test_conversion import convert as convert

SMALL = {"pose_channels": 2, "base_channels": 4, "n_downsample": 1, "n_blocks": 1, "discriminator_channels": 4, "n_layers": 1}
NAME = "generator.model.1.weight"


def at_first(value):
    def spoil(tensor):
        spoilt = tensor.clone()
        spoilt.view(-1)[0] = value
        return spoilt

    return spoil


SPOILS = {
    "NaN": (at_first(float("nan")), "values that are not finite numbers"),
    "infinity": (at_first(float("-inf")), "values that are not finite numbers"),
    "1e30": (at_first(1e30), "a value of size 1e\\+30; weights are below 1e\\+09"),
    "-1e30": (at_first(-1e30), "a value of size 1e\\+30"),
    "1e12": (at_first(1e12), "a value of size 1e\\+12"),
    "bool": (lambda tensor: tensor > 0, "boolean values \\(bool\\), should be real"),
    "int64": (lambda tensor: tensor.long(), "integer values \\(int64\\), should be real"),
    "uint8": (lambda tensor: tensor.to(torch.uint8), "integer values \\(uint8\\), should be real"),
    "complex": (lambda tensor: tensor + 1j, "complex values \\(complex64\\), should be real"),
}


@pytest.mark.parametrize("how", SPOILS)
def test_pairs(tmp_path, how):
    spoil, words = SPOILS[how]
    pair = gm.models.create("pix2pixhd", **SMALL)
    path = tmp_path / "p.safetensors"
    gm.save_pair(pair, path)
    tensors, document = load_tensors(path)
    save_tensors(path, {**tensors, NAME: spoil(tensors[NAME])}, document)
    into = gm.models.create("pix2pixhd", **SMALL)
    before = {name: tensor.clone() for name, tensor in into.state_dict().items()}
    for load in (lambda: gm.load_pair(path), lambda: gm.load_pair(path, into=into)):
        with pytest.raises(gm.CheckpointError, match=f"{path} holds what are no weights: {NAME} holds {words}"):
            load()
    assert all(torch.equal(before[name], tensor) for name, tensor in into.state_dict().items())


@pytest.mark.parametrize("how", SPOILS)
def test_published_state_dicts(tmp_path, how, convert):
    spoil, words = SPOILS[how]
    generator = gm.models.create("pix2pixhd", **SMALL).generator
    state = {**generator.state_dict(), "model.1.weight": spoil(generator.state_dict()["model.1.weight"])}
    with pytest.raises(ValueError, match=f"these are no weights: model.1.weight holds {words}"):
        load_official_weights(generator, state)
    torch.save(state, tmp_path / "net_G.pth")
    result = convert(tmp_path / "net_G.pth", tmp_path / "out.safetensors", "--model", "pix2pixhd")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "model.1.weight holds" in result.stderr
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"model.1.weight": torch.eye(3).to_sparse()}, "model.1.weight is sparse; save it dense"),
        ({"model.1.weight": torch.eye(4).to_sparse_csr()}, "is sparse"),
        ({1: torch.eye(3)}, "names a tensor 1, not by a word"),
        ({("model", 1): torch.eye(3)}, "not by a word"),
        ({"model.1.weight": [1.0, 2.0]}, "not a plain state dict"),
        ({"model.1.weight": torch.empty(3, device="meta")}, "has no values"),
        ([torch.eye(3)], "not a plain state dict"),
    ],
)
def test_files_of_another_make(tmp_path, convert, state, words):
    torch.save(state, tmp_path / "net_G.pth")
    result = convert(tmp_path / "net_G.pth", tmp_path / "out.safetensors", "--model", "pix2pixhd")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda values: values.astype(np.int32), "values of type int32"),
        (lambda values: values > 0, "values of type"),
        (lambda values: values + 1j, "values of type"),
        (lambda values: values * 0 + np.nan, "not finite"),
        (lambda values: values * 0 + 1e30, "a value of size 1e\\+30"),
    ],
)
def test_keras_files(tmp_path, spoil, words):
    generator = PosewarpGenerator(n_joints=2, n_limbs=1, base_channels=2)
    path = write_keras_file(tmp_path / "w.h5", convolutions(generator), [f"conv2d_{number}" for number in range(1, 53)])
    with h5py.File(path, "r+") as file:
        names = []
        file.visititems(lambda name, entry: names.append(name) if isinstance(entry, h5py.Dataset) else None)
        values = file[names[0]][()]
        del file[names[0]]
        file[names[0]] = spoil(values)
    with pytest.raises(ValueError, match=words):
        load_posewarp(generator, path)


def test_response_statistics(tmp_path):
    save_statistics(tmp_path / "s.safetensors", [torch.ones(2, 3)], {})
    assert len(read_statistics(tmp_path / "s.safetensors")) == 1
    for table in (torch.full((2, 3), float("nan")), torch.ones(2, 3).long(), torch.full((2, 3), 1e30)):
        save_statistics(tmp_path / "s.safetensors", [table], {})
        with pytest.raises(ValueError, match="no response statistics: table 0 holds"):
            read_statistics(tmp_path / "s.safetensors")


def test_buffers_have_their_own_kinds_and_a_module_may_hold_infinities_itself(tmp_path):
    def pair():
        made = smooth_pair()
        made.generator[1] = nn.BatchNorm2d(4).double()
        made.generator.register_buffer("mask", torch.tensor([0.0, float("-inf"), -1e30]))
        made.generator.register_buffer("place", torch.tensor([3 + 4j]))
        return made

    good = pair().state_dict()
    assert value_problems(pair().state_dict(), good) == []
    assert (
        value_problems(
            pair().state_dict(), {name: tensor.float() if tensor.dtype == torch.float64 else tensor for name, tensor in good.items()}
        )
        == []
    )
    spoils = {
        "generator.1.running_var": (torch.tensor([1.0, -1e-3, 1, 1], dtype=torch.float64), "a value below 0"),
        "generator.1.num_batches_tracked": (torch.tensor(-5), "a value below 0"),
        "generator.mask": (torch.tensor([float("-inf"), 0.0, 0.0]), "not finite"),
        "generator.place": (torch.tensor([3.0]), "real values (float32), should be complex"),
        "generator.1.running_mean": (torch.full((4,), float("nan"), dtype=torch.float64), "not finite"),
    }
    spoils["generator.1.num_batches_tracked "] = (torch.tensor(2.0), "real values (float32), should be integer")
    for name, (value, words) in spoils.items():
        (problem,) = value_problems(pair().state_dict(), {**good, name.strip(): value})
        assert problem.startswith(name.strip())
        assert words in problem


def test_equal_tensors_give_equal_files(tmp_path):
    """Also in another process: the order in which a header's entries were written differed from one to another."""
    tensors, document = {"b": torch.ones(3), 'a\u00e9\x7f"': torch.zeros(2).long()}, {"x": "\u00e9\n", "y": {"k": [1]}}
    code = (
        "import sys; from torch import tensor; from gan_meta.checkpoint import save_tensors;"
        f"save_tensors(sys.argv[1], {tensors}, {document})"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "other.safetensors")], env=environment, check=True, timeout=120)
    contents = {(tmp_path / "other.safetensors").read_bytes()}
    for _ in range(8):
        save_tensors(tmp_path / "own.safetensors", tensors, document)
        contents.add((tmp_path / "own.safetensors").read_bytes())
    assert len(contents) == 1
    read, words = load_tensors(tmp_path / "own.safetensors")
    assert words == document
    assert {name: tensor.tolist() for name, tensor in read.items()} == {name: tensor.tolist() for name, tensor in tensors.items()}
