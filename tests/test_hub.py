"""Pairs in folders and on the Hub. The Hub itself is stood in for by a folder: what is sent, and what comes back."""

from __future__ import annotations

import shutil
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch

import gan_meta as gm
from gan_meta.checkpoint import pair_facts
from tests.conftest import smooth_pair

SMALL = {"latent_channels": 4, "image_channels": 1, "base_channels": 2, "size": 8, "discriminator_channels": 2}


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_folder_round_trips(tmp_path):
    pair = gm.models.create("dcgan", **SMALL)
    path = gm.hub.save_pretrained(pair, tmp_path / "somewhere" / "new", {"trained_on": "glyphs"})
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["README.md", "pair.safetensors"]
    assert same(pair, gm.hub.from_pretrained(path.parent))
    assert pair_facts(path)["facts"] == {"trained_on": "glyphs"}
    card = (path.parent / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: gan-meta")
    assert '"trained_on": "glyphs"' in card
    by_hand = smooth_pair()
    folder = gm.hub.save_pretrained(by_hand, tmp_path / "by-hand").parent
    with pytest.raises(gm.CheckpointError, match="made by hand"):
        gm.hub.from_pretrained(folder)
    assert same(by_hand, gm.hub.from_pretrained(folder, into=smooth_pair(seed=3)))


def test_push_and_fetch_send_and_ask_for_the_right_things(tmp_path, monkeypatch):
    calls, remote = [], tmp_path / "remote"

    class Api:
        def __init__(self, token=None):
            calls.append(("token", token))

        def create_repo(self, repo_id, *, private, exist_ok):
            calls.append(("create", repo_id, private, exist_ok))

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            calls.append(("upload", repo_id, commit_message))
            shutil.copytree(folder_path, remote)
            return SimpleNamespace(commit_url="https://example.org/commit")

    def download(repo_id, filename, *, revision, token):
        calls.append(("download", repo_id, filename, revision, token))
        return str(remote / filename)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    pair = gm.models.create("dcgan", **SMALL)
    assert gm.hub.push(pair, "someone/glyphs", token="secret") == "https://example.org/commit"
    assert same(pair, gm.hub.from_pretrained("someone/glyphs", revision="v1"))
    assert calls == [
        ("token", "secret"),
        ("create", "someone/glyphs", True, True),
        ("upload", "someone/glyphs", "A pair from gan-meta"),
        ("download", "someone/glyphs", "pair.safetensors", "v1", None),
    ]


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install gan-meta\[hub\]"):
        gm.hub.from_pretrained("someone/glyphs")
