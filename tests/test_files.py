"""Files are written whole or not at all, where a link leads, with the mode that the umask leaves; documents become JSON, or not."""

from __future__ import annotations

import enum
import fractions
import json
import os
import pathlib
import socket
import stat

import numpy as np
import pytest
import torch
from torch import nn

import gan_meta as gm
from gan_meta.files import json_text, replacing, write_text
from tests.conftest import SquaresObjective, small_batch, smooth_pair


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o077, 0o002, 0o022, 0o000])
def test_a_new_file_has_what_the_umask_leaves(tmp_path, umask, mask):
    umask(mask)
    gm.save_pair(smooth_pair(), tmp_path / "pair.safetensors")
    write_text(tmp_path / "words.txt", "words")
    assert {mode(file) for file in tmp_path.iterdir()} == {0o666 & ~mask}


@pytest.mark.parametrize("kept", [0o600, 0o664, 0o640])
def test_an_earlier_file_keeps_its_mode(tmp_path, kept):
    for name in ("pair.safetensors", "words.txt"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(kept)
    gm.save_pair(smooth_pair(), tmp_path / "pair.safetensors")
    write_text(tmp_path / "words.txt", "words")
    assert {mode(file) for file in tmp_path.iterdir()} == {kept}


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_file_is_replaced(tmp_path, exists):
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    if exists:
        (there / "file").write_text("old")
    (here / "link").symlink_to(there / "file")
    (here / "link of a link").symlink_to("link")
    write_text(here / "link of a link", "new")
    assert (here / "link").is_symlink()
    assert (here / "link of a link").is_symlink()
    assert not (there / "file").is_symlink()
    assert (there / "file").read_text() == "new"
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "here", "link", "link of a link", "there"]


def test_what_no_file_can_take_the_place_of_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "to the pipe").symlink_to("pipe")
    (tmp_path / "to itself").symlink_to("to itself")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        before = sorted(tmp_path.iterdir())
        places = ("/dev/null", "/dev/stdout", "pipe", "to the pipe", "socket", "folder", "missing/file", "to itself")
        for name in places:
            with pytest.raises(OSError, match="cannot write"):
                write_text(tmp_path / name, "words")
        assert sorted(tmp_path.iterdir()) == before


def test_a_long_name_and_a_failure_leave_nothing_behind(tmp_path):
    path = tmp_path / ("ü" * 120)
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text(str(1 / 0))
    assert path.read_text() == "old"
    write_text(path, "new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["new"]


class Kind(enum.Enum):
    FIRST = 1


DOCUMENT = {
    "integer": np.int64(3),
    "short": np.uint8(200),
    "real": np.float32(0.5),
    "double": np.float64(0.1),
    "half": np.float16(0.25),
    "truth": np.bool_(True),
    "word": np.str_("word"),
    "tensor": torch.tensor(2.0),
    "array": np.arange(3),
    "path": pathlib.Path("runs") / "one",
    "pair": (1, np.int32(2)),
    "set": {2, 1},
    "kind": Kind.FIRST,
    "dtype": torch.float64,
    "fraction": fractions.Fraction(1, 4),
    "inside": {np.int64(1): [np.bool_(False)]},
    "nothing": None,
}


def test_documents_hold_numbers_of_numpy_and_torch_and_paths():
    assert json.loads(json_text(DOCUMENT)) == {
        "integer": 3,
        "short": 200,
        "real": 0.5,
        "double": 0.1,
        "half": 0.25,
        "truth": True,
        "word": "word",
        "tensor": 2.0,
        "array": [0, 1, 2],
        "path": "runs/one",
        "pair": [1, 2],
        "set": [1, 2],
        "kind": 1,
        "dtype": "torch.float64",
        "fraction": 0.25,
        "inside": {"1": [False]},
        "nothing": None,
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"facts": {"net": nn.ReLU()}}, r"facts\.net is a ReLU"),
        ({"a": [1, 2j]}, r"a\[1\] is a complex"),
        ({"f": len}, "f is a builtin_function_or_method"),
        ({"b": b"bytes"}, "b is a bytes"),
        ({1: "one", "1": "another"}, "the document has two entries that JSON calls '1'"),
        ({(1, 2): 3}, "a key of"),
    ],
)
def test_what_json_cannot_hold_is_named(value, words):
    if (1, 2) in value:
        assert json_text(value) == '{"[1, 2]": 3}'
        return
    with pytest.raises(TypeError, match=words):
        json_text(value)


NUMPY_SETTINGS = {
    "seed": {"seed": np.int64(3)},
    "iterations": {"iterations": np.int32(2), "checkpoint_every": np.int64(1), "keep": np.int64(2)},
    "meta_lr": {"meta_lr": np.float32(0.5)},
    "tensor": {"meta_lr": torch.tensor(0.5)},
    "rate": {"inner": {"lr": np.float32(1e-3)}},
    "rate tensor": {"inner": {"lr": torch.tensor(1e-3)}},
    "steps": {"inner": {"steps": np.int64(1), "batch_size": np.int16(4)}},
    "betas": {"inner": {"betas": np.array([0.5, 0.9], np.float32), "eps": np.float32(1e-4)}},
    "flags": {"inner": {"unique_samples": np.bool_(False), "update_ratio": np.array([2, 1]), "update": np.str_("alternating")}},
}


@pytest.mark.parametrize("name", NUMPY_SETTINGS)
def test_settings_of_numpy_train_save_and_resume(tmp_path, name):
    def train():
        options = {"iterations": 2, "checkpoint_every": 1, **NUMPY_SETTINGS[name]}
        inner = gm.InnerLoop(**{"steps": 1, **options.pop("inner", {})})
        algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=inner)
        trainer = gm.MetaTrainer(smooth_pair(), algorithm, [gm.Task(small_batch(2))], run_dir=tmp_path, **options)
        return trainer.fit()

    assert all(torch.equal(a, b) for a, b in zip(train().parameters(), train().parameters(), strict=True))


def test_joint_training_and_models_take_numbers_of_numpy(tmp_path):
    gm.pretrain(
        smooth_pair(),
        SquaresObjective(),
        small_batch(4),
        steps=np.int64(2),
        seed=np.int64(1),
        run_dir=tmp_path,
        checkpoint_every=np.int8(1),
    )
    pair = gm.models.create("dcgan", base_channels=np.int64(4), discriminator_channels=np.int32(4), size=np.int64(16))
    gm.save_pair(pair, tmp_path / "pair.safetensors", {"path": tmp_path, "score": np.float32(0.5)})
    assert gm.load_pair(tmp_path / "pair.safetensors").model_arguments["base_channels"] == 4
