"""Saved pairs come back whole, and bad files are refused in words."""

from __future__ import annotations

import os

import pytest
import torch

import gan_meta as gm
from gan_meta.checkpoint import load_tensors, pair_facts, save_tensors
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
