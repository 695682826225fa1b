"""Every reader of files, with files that it reads well, and the only errors that it may raise for files that it does not."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from metapix.data.clip import Clip
from metapix.data.folder import read_clip, write_clip
from metapix.data.video import VideoWriter, read_video
from metapix.errors import InputError
from metapix.files import read_json
from PIL import Image

import gan_meta as gm
from gan_meta.image_files import read_image
from gan_meta.models.conversion import pix2pixhd_pair, posewarp_pair
from gan_meta.models.posewarp import PosewarpGenerator
from gan_meta.models.weights import read_state_dict
from gan_meta.training.run_log import open_logs
from gan_meta.training.run_status import run_status
from tests.conftest import SquaresObjective, small_batch, smooth_pair
from tests.models.posewarp.posewarp_fixtures import convolutions, write_keras_file

SMALL = {"pose_channels": 2, "base_channels": 2, "n_downsample": 1, "n_blocks": 1, "discriminator_channels": 2, "n_layers": 1}
EXTREMES = (0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 10**12, 2**63 - 1, 2**64 - 1)
WORDS = (b"null", b"1e999", b"-1", b"[]", b"{}", b'""', b"1000000000000", b"true", b"NaN", b"[[[[[[[[", b"../../etc/passwd", b"\xff\xfe")


@dataclass(frozen=True)
class Reader:
    """A reader: its good file, the call that reads it, and the errors that count as clean."""

    path: Path
    good: bytes
    read: Callable[[], object]
    errors: tuple[type[Exception], ...]

    def survives(self, content: bytes) -> bool:
        """Read this content; whether it was accepted. Any error but a clean one goes on up."""
        self.path.write_bytes(content)
        try:
            self.read()
        except self.errors as error:
            if len(str(error)) < 10:
                raise AssertionError("an error without words") from error
            return False
        return True

    def restore(self) -> None:
        """Put the good file back."""
        self.path.write_bytes(self.good)


def readers(folder: Path) -> dict[str, Reader]:
    """The library's, and MetaPix's clip folders, results and videos; each with a folder of its own."""
    made: dict[str, Reader] = {}

    def add(name: str, path: Path, read: Callable[[], object], *errors: type[Exception]) -> None:
        made[name] = Reader(path, path.read_bytes(), read, errors)

    torch.manual_seed(0)
    pair = gm.models.create("pix2pixhd", **SMALL)
    gm.save_pair(pair, folder / "pair.safetensors")
    add("pair", folder / "pair.safetensors", lambda: gm.load_pair(folder / "pair.safetensors"), gm.CheckpointError)
    torch.save(pair.generator.state_dict(), folder / "net.pth")
    add("torch weights", folder / "net.pth", lambda: pix2pixhd_pair(folder / "net.pth"), ValueError)
    torch.save({"w": torch.ones(3)}, folder / "old.pth", _use_new_zipfile_serialization=False)
    add("old torch weights", folder / "old.pth", lambda: read_state_dict(folder / "old.pth"), ValueError)
    names = ["conv2d", *(f"conv2d_{number}" for number in range(1, 52))]
    write_keras_file(folder / "posewarp.h5", convolutions(PosewarpGenerator(n_joints=2, n_limbs=1, base_channels=2)), names)
    add("keras", folder / "posewarp.h5", lambda: posewarp_pair(folder / "posewarp.h5"), ValueError)
    _add_training(folder / "run", add)
    _add_pictures(folder, add)
    _add_clip(folder / "clip", add)
    return made


def _add_training(folder: Path, add: Callable[..., None]) -> None:
    def trainer() -> gm.MetaTrainer:
        algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=gm.InnerLoop(steps=1))
        tasks = [gm.Task(small_batch(2))]
        return gm.MetaTrainer(
            smooth_pair(),
            algorithm,
            tasks,
            iterations=2,
            meta_optimizer="adam",
            run_dir=folder,
            logs=("jsonl", "csv"),
            best_by=None,
            keep=1,
        )

    trainer().fit()
    resumed = trainer()
    add("checkpoint", folder / "meta-training.safetensors", lambda: resumed._begin(True), gm.CheckpointError)
    joint = folder.with_name("joint")

    def pretrain() -> None:
        gm.pretrain(smooth_pair(), SquaresObjective(), small_batch(2), steps=1, run_dir=joint, logs=(), keep=1)

    pretrain()
    add("joint checkpoint", joint / "pretraining.safetensors", pretrain, gm.CheckpointError)
    add("status", folder / "status.json", lambda: run_status(folder), gm.CheckpointError)
    for kind in ("jsonl", "csv"):

        def reopen(kind: str = kind) -> None:
            (log,) = open_logs([kind], folder, "meta-training", 2)
            log.write(3, {"generator": 1.0})
            log.close()

        add(kind, folder / f"meta-training.{kind}", reopen)


def _add_pictures(folder: Path, add: Callable[..., None]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    for kind in ("png", "jpg"):
        path = folder / f"picture.{kind}"
        Image.fromarray(pixels).save(path)
        add(kind, path, lambda path=path: read_image(path), ValueError)


def _add_clip(folder: Path, add: Callable[..., None]) -> None:
    frames = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)
    write_clip(Clip("someone", frames, torch.rand(2, 18, 3), masks=frames[:, :1]), folder)
    kept = folder.with_name("clip-kept")
    shutil.copytree(folder, kept)
    add("manifest", folder / "manifest.json", lambda: read_clip(folder), InputError)
    for name in ("keypoints.json", "frames/000001.png"):

        def read(name: str = name) -> None:
            (folder / "manifest.json").write_bytes((kept / "manifest.json").read_bytes())
            _trust(folder, name)
            read_clip(folder)

        add(name, folder / name, read, InputError)
    results = folder.with_name("results.json")
    results.write_text(json.dumps({"settings": {}, "rows": [{"psnr": 1.0, "videos": []}]}))
    add("results", results, lambda: read_json(results, dict), InputError)
    video = folder.with_name("video.mp4")
    with VideoWriter(video, fps=10) as writer:
        for _ in range(3):
            writer.write(np.zeros((16, 16, 3), np.uint8))
    add("video", video, lambda: sum(1 for _ in read_video(video, max_frames=3)), InputError)


def _trust(folder: Path, name: str) -> None:
    """A stranger writes the checksums too."""
    import hashlib

    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["checksums"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def mutate(good: bytes, draws: random.Random) -> bytes:
    """The file with one to four things wrong; mostly near its beginning, where headers are."""
    content = bytearray(good)
    for _ in range(draws.randint(1, 4)):
        reach = len(content) if draws.random() < 0.5 else min(len(content), 400)
        at = draws.randrange(reach + 1) if content else 0
        _EDITS[draws.randrange(len(_EDITS))](content, at, draws)
    return bytes(content)


def _flip(content: bytearray, at: int, draws: random.Random) -> None:
    if at < len(content):
        content[at] ^= 1 << draws.randrange(8)


def _number(content: bytearray, at: int, draws: random.Random) -> None:
    kind = draws.choice(("<I", ">I", "<Q", ">Q", "<H", "B"))
    size = struct.calcsize(kind)
    content[at : at + size] = struct.pack(kind, draws.choice(EXTREMES) % 256**size)


def _word(content: bytearray, at: int, draws: random.Random) -> None:
    word = draws.choice(WORDS)
    content[at : at + draws.choice((0, 1, len(word)))] = word


def _digits(content: bytearray, at: int, draws: random.Random) -> None:
    """Another number in place of the next one that is written out."""
    start = next((i for i in range(at, len(content)) if 48 <= content[i] <= 57), None)
    if start is not None:
        end = next((i for i in range(start, len(content)) if not 48 <= content[i] <= 57), len(content))
        content[start:end] = str(draws.choice((*EXTREMES, -1, 10**30))).encode()


def _cut(content: bytearray, at: int, draws: random.Random) -> None:
    del content[at : at + draws.choice((1, 4, 64, len(content)))]


def _double(content: bytearray, at: int, draws: random.Random) -> None:
    piece = content[at : at + draws.choice((1, 8, 256))]
    content[at:at] = piece


_EDITS = (_flip, _flip, _number, _word, _digits, _cut, _double)
