"""Saved pairs come back whole, and bad files are refused in words."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

import gan_meta as gm
from gan_meta.checkpoint import load_tensors, pair_facts, save_tensors
from gan_meta.naming import named_as, without_wrappers
from tests.conftest import smooth_pair

SMALL = {"pose_channels": 2, "base_channels": 4, "n_downsample": 1, "n_blocks": 1, "discriminator_channels": 4, "n_layers": 1}


def test_a_registry_pair_round_trips_with_its_facts(tmp_path):
    pair = gm.models.create("pix2pixhd", **SMALL)
    gm.save_pair(pair, tmp_path / "theta.safetensors", {"trained_on": "nothing"})
    loaded = gm.load_pair(tmp_path / "theta.safetensors")
    assert loaded.model_name == "pix2pixhd"
    for (name, a), (other, b) in zip(pair.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(a, b)
    assert pair_facts(tmp_path / "theta.safetensors")["facts"] == {"trained_on": "nothing"}


def test_a_hand_made_pair_needs_a_pair_to_load_into(tmp_path):
    pair = smooth_pair()
    gm.save_pair(pair, tmp_path / "p.safetensors")
    with pytest.raises(gm.CheckpointError, match="made by hand"):
        gm.load_pair(tmp_path / "p.safetensors")
    loaded = gm.load_pair(tmp_path / "p.safetensors", into=smooth_pair(seed=5))
    assert all(torch.equal(a, b) for a, b in zip(pair.parameters(), loaded.parameters(), strict=True))


def test_files_that_cannot_be_used_say_why(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        gm.load_pair(tmp_path / "absent.safetensors")
    good = tmp_path / "good.safetensors"
    gm.save_pair(gm.models.create("pix2pixhd", **SMALL), good)
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    with pytest.raises(gm.CheckpointError, match="truncated"):
        gm.load_pair(truncated)
    with pytest.raises(gm.CheckpointError, match="does not fit the pair: missing"):
        gm.load_pair(good, into=smooth_pair())
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(gm.CheckpointError, match="not written by gan-meta"):
        gm.load_pair(tmp_path / "foreign.safetensors")
    save_tensors(tmp_path / "other.safetensors", {"x": torch.zeros(1)}, {"settings": {}})
    with pytest.raises(gm.CheckpointError, match="holds no pair"):
        gm.load_pair(tmp_path / "other.safetensors")


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "theta.safetensors"
    save_tensors(path, {"x": torch.ones(3)}, {"number": 1})

    def full_disk(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_tensors(path, {"x": torch.zeros(3)}, {"number": 2})
    assert os.listdir(tmp_path) == ["theta.safetensors"]
    tensors, document = load_tensors(path)
    assert document == {"number": 1}
    assert torch.equal(tensors["x"], torch.ones(3))


def test_shared_memory_and_views_are_saved_apart(tmp_path):
    base = torch.arange(6.0)
    save_tensors(tmp_path / "v.safetensors", {"a": base, "b": base[2:4], "c": base.reshape(2, 3).T}, {})
    tensors, _ = load_tensors(tmp_path / "v.safetensors")
    assert tensors["b"].tolist() == [2, 3]
    assert tensors["c"].tolist() == [[0, 3], [1, 4], [2, 5]]


def mixed_pair():
    """Real numbers of three widths, a counter, and a buffer that no file holds."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 3).double(), nn.BatchNorm1d(3).bfloat16(), nn.Linear(3, 2).half())
    generator.register_buffer("blur", torch.ones(3), persistent=False)
    return gm.GANPair(generator, nn.Linear(2, 1))


def types_of(pair):
    return {name: tensor.dtype for name, tensor in (*pair.named_parameters(), *pair.named_buffers())}


@pytest.fixture
def registered():
    gm.models.register("mixed")(build_mixed)
    yield "mixed"
    del gm.models.registry._BUILDERS["mixed"]


def build_mixed():
    """As the builder of a model makes it: in float32."""
    return mixed_pair().float()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.float32, None])
def test_a_pair_comes_back_in_the_precision_it_was_saved_in(tmp_path, registered, dtype):
    pair = gm.models.create(registered)
    if dtype is None:
        pair.generator[0].double()
        pair.generator[2].bfloat16()
    else:
        pair.to(dtype)
    gm.save_pair(pair, tmp_path / "p.safetensors")
    loaded = gm.load_pair(tmp_path / "p.safetensors")
    assert types_of(loaded) == types_of(pair)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in pair.state_dict().items())


@pytest.mark.parametrize(
    ("saved", "own"), [(torch.float64, torch.float32), (torch.float32, torch.float64), (torch.bfloat16, torch.float32)]
)
def test_into_a_pair_of_another_precision_is_refused(tmp_path, saved, own):
    gm.save_pair(smooth_pair().to(saved), tmp_path / "p.safetensors")
    word = str(saved).removeprefix("torch.")
    with pytest.raises(gm.CheckpointError, match=rf"is {word} in the file and {str(own)[6:]} in the pair.*pair.to\(torch.{word}\)"):
        gm.load_pair(tmp_path / "p.safetensors", into=smooth_pair().to(own))
    assert next(gm.load_pair(tmp_path / "p.safetensors", into=smooth_pair().to(saved)).parameters()).dtype == saved


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda module: torch.compile(module, backend="eager"), lambda m: nn.DataParallel(nn.DataParallel(m))]
)
def test_wrappers_names_do_not_keep_weights_from_their_network(tmp_path, wrap):
    pair, wrapped = smooth_pair(1), smooth_pair(1)
    wrapped = gm.GANPair(wrap(wrapped.generator), wrapped.discriminator)
    gm.save_pair(wrapped, tmp_path / "wrapped.safetensors")
    gm.save_pair(pair, tmp_path / "bare.safetensors")
    for file in tmp_path.iterdir():
        for into in (smooth_pair(2), gm.GANPair(wrap(smooth_pair(2).generator), smooth_pair(2).discriminator)):
            loaded = gm.load_pair(file, into=into)
            assert all(torch.equal(a, b) for a, b in zip(pair.parameters(), loaded.parameters(), strict=True))


def test_a_networks_own_part_of_that_name_stays():
    both = {"module.a": 1, "a": 2}
    assert without_wrappers(both) == both
    assert named_as(both, ["module.a", "a"]) == both
    assert named_as({"a": 1}, ["module.a"]) == {"module.a": 1}
    assert named_as({"a": 1, "b": 2}, ["module.a"]) == {"a": 1, "b": 2}
