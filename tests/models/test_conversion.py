"""`gan-meta convert`: published files become files that gan-meta loads, or one line and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from gan_meta import GANPair, cli, load_pair, models
from gan_meta.checkpoint import pair_facts
from gan_meta.models.conversion import pix2pixhd_pair, posewarp_pair
from gan_meta.models.pix2pixhd import load_official_weights as load_pix2pixhd
from gan_meta.models.posewarp import PosewarpGenerator, load_official_weights
from tests.models.posewarp.posewarp_fixtures import convolutions, write_keras_file

NAMES = [f"conv2d_{number}" for number in range(1, 53)]


class Result(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def convert(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["gan-meta", "convert", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return Result(int(left.value.code or 0), *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "x"], "unexpected extra argument"),
        (["--nothing"], "No such option: --nothing"),
        (["describe", "dcgn"], "did you mean 'dcgan'"),
        (["convert", "a.pth", "out.safetensors", "--seed", "-1"], "Invalid value for '--seed'"),
        (["convert", "a.pth", "out.safetensors", "--model", "x"], "Invalid value for '--model'"),
        (["convert", "text.pth", "out.safetensors", "--model", "pix2pixhd"], "save the network's state_dict() itself"),
        (["statistics", "a.png", "--out", "out.safetensors", "--size", "9" * 30], "Invalid value for '--size'"),
        (["statistics", "a.png", "--out", "out.safetensors", "--device", "meta"], "the device 'meta' cannot be used here"),
        (["inspect", "text.pth"], "is not a readable safetensors file"),
    ],
)
def test_wrong_usage_and_bad_input_of_every_command_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (tmp_path / "text.pth").write_text("hello")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gan-meta", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr().err
    assert (left.value.code, said.count("\n")) == (2, 1)
    assert words in said
    assert "\x1b" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["text.pth"]


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def tiny_pix2pixhd(**options: object) -> GANPair:
    arguments = {"pose_channels": 5, "base_channels": 4, "n_downsample": 2, "n_blocks": 3, "discriminator_channels": 6, "n_layers": 2}
    return models.create("pix2pixhd", **{**arguments, **options})


def test_a_keras_file_becomes_a_pair(tmp_path: Path, convert: Callable[..., Result]) -> None:
    torch.manual_seed(0)
    weights = convolutions(PosewarpGenerator(n_joints=5, n_limbs=3, base_channels=2))
    source = write_keras_file(tmp_path / "vgg_100000.h5", weights, NAMES)
    result = convert(source, tmp_path / "posewarp.safetensors")
    assert (result.returncode, result.stderr) == (0, "")
    assert "posewarp" in result.stdout
    pair = load_pair(tmp_path / "posewarp.safetensors")
    expected = PosewarpGenerator(n_joints=5, n_limbs=3, base_channels=2)
    load_official_weights(expected, source)
    assert same(pair.generator, expected)
    assert pair.discriminator is None
    assert pair_facts(tmp_path / "posewarp.safetensors")["facts"] == {"converted_from": ["vgg_100000.h5"]}
    assert same(posewarp_pair(source).generator, expected)


@pytest.mark.parametrize(
    "options", [{}, {"generator": "local", "n_enhancers": 2, "n_local_blocks": 2, "base_channels": 2}, {"n_scales": 3}]
)
def test_pix2pixhd_files_become_a_pair(tmp_path: Path, options: dict[str, object]) -> None:
    pair = tiny_pix2pixhd(**options)
    assert pair.discriminator is not None
    torch.save(pair.generator.state_dict(), tmp_path / "latest_net_G.pth")
    torch.save(pair.discriminator.state_dict(), tmp_path / "latest_net_D.pth")
    made = pix2pixhd_pair(tmp_path / "latest_net_G.pth", tmp_path / "latest_net_D.pth")
    assert same(made, pair)
    assert models.create("pix2pixhd", **made.model_arguments) is not None
    alone = pix2pixhd_pair(tmp_path / "latest_net_G.pth", seed=3)
    assert same(alone.generator, pair.generator)
    assert same(alone, pix2pixhd_pair(tmp_path / "latest_net_G.pth", seed=3))
    assert not same(alone, pix2pixhd_pair(tmp_path / "latest_net_G.pth", seed=4))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_files_of_wrapped_networks_are_read_as_the_networks(tmp_path: Path, prefix: str) -> None:
    pair = tiny_pix2pixhd()
    assert pair.discriminator is not None
    for name, network in (("G", pair.generator), ("D", pair.discriminator)):
        torch.save({f"{prefix}{key}": value for key, value in network.state_dict().items()}, tmp_path / f"{name}.pth")
    assert same(pix2pixhd_pair(tmp_path / "G.pth", tmp_path / "D.pth"), pair)
    loaded = tiny_pix2pixhd()
    load_pix2pixhd(loaded.generator, tmp_path / "G.pth")
    assert same(loaded.generator, pair.generator)


def test_the_command_converts_pix2pixhd_when_asked(tmp_path: Path, convert: Callable[..., Result]) -> None:
    pair = tiny_pix2pixhd()
    assert pair.discriminator is not None
    torch.save(pair.generator.state_dict(), tmp_path / "G.pth")
    torch.save(pair.discriminator.state_dict(), tmp_path / "D.pth")
    out = tmp_path / "pair.safetensors"
    result = convert(tmp_path / "G.pth", out, "--model", "pix2pixhd", "--discriminator", tmp_path / "D.pth")
    assert (result.returncode, result.stderr) == (0, "")
    assert same(load_pair(out), pair)
    alone = convert(tmp_path / "G.pth", out, "--model", "pix2pixhd")
    assert "its discriminator starts from random weights" in alone.stdout


def test_bad_files_get_one_line_and_leave_nothing_behind(tmp_path: Path, convert: Callable[..., Result]) -> None:
    (tmp_path / "text.h5").write_text("not HDF5")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "out.safetensors").write_text("an earlier file")
    out = tmp_path / "out.safetensors"
    for arguments, message in (
        ((tmp_path / "absent.h5", out), "there is no weights file"),
        ((tmp_path / "text.h5", out), "is not a Keras HDF5 file"),
        ((tmp_path / "other.pth", out, "--model", "pix2pixhd"), "does not hold the weights of a pix2pixHD generator"),
        ((tmp_path / "text.h5", out, "--discriminator", tmp_path / "other.pth"), "--discriminator goes with --model pix2pixhd"),
        ((tmp_path / "text.h5", tmp_path / "out.h5"), "must end in .safetensors"),
        ((tmp_path / "text.h5", tmp_path / "absent" / "out.safetensors"), "there is no folder"),
    ):
        result = convert(*arguments)
        assert result.returncode == 2
        assert result.stdout == ""
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert out.read_text() == "an earlier file"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other.pth", "out.safetensors", "text.h5"]


def test_a_discriminator_of_another_model_is_refused(tmp_path: Path) -> None:
    pair = tiny_pix2pixhd()
    torch.save(pair.generator.state_dict(), tmp_path / "G.pth")
    with pytest.raises(ValueError, match=r"G.pth does not hold the weights of a pix2pixHD discriminator"):
        pix2pixhd_pair(tmp_path / "G.pth", tmp_path / "G.pth")
    other = tiny_pix2pixhd(pose_channels=9).discriminator
    assert other is not None
    torch.save(other.state_dict(), tmp_path / "D.pth")
    with pytest.raises(ValueError, match="do not fit this MultiscaleDiscriminator"):
        pix2pixhd_pair(tmp_path / "G.pth", tmp_path / "D.pth")
