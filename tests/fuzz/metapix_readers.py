"""MetaPix's readers of a stranger's files, each with a file that it reads well; plain clip folders, results and MP4 are in readers.py."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from metapix.data.clip import Clip
from metapix.data.coco import COCO_KEYPOINTS
from metapix.data.download import read_manifest
from metapix.data.folder import Source, count_frames, is_prepared, write_clip
from metapix.data.journal import Found, Journal
from metapix.data.pictures import read_picture
from metapix.data.pose_files import PosesFromFiles
from metapix.data.prepare import prepare_video
from metapix.data.released import read_released
from metapix.data.sound import Sound
from metapix.data.video import VideoWriter, probe, read_video
from metapix.errors import InputError
from metapix.performer import load_performer, save_performer
from metapix.recipe import Recipe, recipe_of
from metapix.report.build import build_report
from metapix.training.preset import load_preset
from PIL import Image

import gan_meta as gm
from tests.fuzz.readers import Reader, readers

Add = Callable[..., None]

SMALL = {"pose_channels": 18, "base_channels": 2, "n_downsample": 1, "n_blocks": 1, "discriminator_channels": 2, "n_layers": 1}
PRESET = """[data]
people = 2
fps = 12.0
[model]
name = "pix2pixhd"
base_channels = 4
[recipe]
size = 32
lr = 1e-3
perceptual = "vgg19"
[inner]
steps = 2
freeze_d = "reset"
[pretrain]
steps = 10
[meta_train]
shots = 5
algorithm = "reptile"
clip_norm = 1.5
"""
MANIFEST = '[[videos]]\nname = "one"\nyoutube = "wtW2R7hTImA"\n[[videos]]\nname = "two"\nyoutube = "soYDiE7sl4g"\n'


def all_readers(folder: Path) -> dict[str, Reader]:
    """These and those of readers.py."""
    return {**readers(folder), **metapix_readers(folder / "metapix")}


def metapix_readers(folder: Path) -> dict[str, Reader]:
    """All of these, by name."""
    made: dict[str, Reader] = {}

    def add(name: str, path: Path, read: Callable[[], object], *errors: type[Exception]) -> None:
        made[name] = Reader(path, path.read_bytes(), read, errors)

    folder.mkdir()
    torch.manual_seed(0)
    _add_all(folder, add)
    return made


def _add_all(folder: Path, add: Add) -> None:
    _add_settings(folder, add)
    _add_models(folder, add)
    _add_results(folder / "report", add)
    _add_released(folder / "released", add)
    _add_pictures(folder, add)
    _add_videos(folder, add)
    _add_poses(folder, add)
    _add_journal(folder, add)
    clip = folder / "counted"
    write_clip(Clip("someone", torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.rand(2, 18, 3)), clip)
    add("counted clip", clip / "manifest.json", lambda: range(min(count_frames(clip), 10**6)), InputError)


def _add_settings(folder: Path, add: Add) -> None:
    for name, text, read in (("preset", PRESET, load_preset), ("video list", MANIFEST, read_manifest)):
        path = folder / f"{name.replace(' ', '-')}.toml"
        path.write_text(text)
        add(name, path, lambda read=read, path=path: read(str(path)), InputError)


def _add_models(folder: Path, add: Add) -> None:
    recipe = Recipe(size=32, lr=1e-3).as_dict()
    pair = gm.models.create("pix2pixhd", **SMALL)
    start, model = folder / "start.safetensors", folder / "model.safetensors"
    gm.save_pair(pair, start, {"start": "metapix", "recipe": recipe})
    add("start", start, lambda: recipe_of(start), InputError, gm.CheckpointError)
    shots = Clip("someone", torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.rand(2, 18, 3) * 32)
    save_performer(model, pair, shots, {"size": 32, "steps": 3, "strength": 1.0, "recipe": recipe})
    add("personalised model", model, lambda: load_performer(model), InputError, gm.CheckpointError)


def _add_results(folder: Path, add: Add) -> None:
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    row = {"model": "m", "init": "metapix", "K": 5, "T": 20, "ssim": 0.5, "psnr": 20.0, "mse": 100.0, "temporal_std": 0.1}
    results = {
        "settings": {"seed": 0},
        "rows": [{**row, "videos": [{"name": "one", "frames": 3, "ssim": 0.5, "psnr": 20.0, "mse": 100.0}]}],
        "people": [{"name": "one", "kind": "drawn", "role": "unseen"}],
        "curves": [{"title": "c", "x_label": "x", "y_label": "y", "series": [{"label": "s", "x": [1, 2], "y": [1.0, 2.0]}]}],
        "strips": [{"title": "s", "columns": ["a"], "rows": [["a.png"]]}],
    }
    (folder / "results.json").write_text(json.dumps(results))
    add("report", folder / "results.json", lambda: build_report(folder), InputError)


def _add_released(folder: Path, add: Add) -> None:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 18, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    Image.fromarray(pixels[..., 0]).save(folder / "label.png")
    for kind, name in (("img", "image.png"), ("label", "label.png")):
        (folder / f"train_1_{kind}.txt").write_text(f"{name}\n")

    def read() -> None:
        read_released(folder, "train", 8)[0].batch([0])

    for name in ("train_1_img.txt", "train_1_label.txt", "image.png", "label.png"):
        add(f"released {name}", folder / name, read, InputError)


def _add_pictures(folder: Path, add: Add) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    for kind in ("png", "jpg", "webp", "bmp", "tif"):
        path = folder / f"photo.{kind}"
        exif = Image.Exif()
        exif[274] = 6
        Image.fromarray(pixels).save(path, **({} if kind == "bmp" else {"exif": exif}))
        add(f"photo {kind}", path, lambda path=path: read_picture(path), InputError)


def _add_videos(folder: Path, add: Add) -> None:
    for name, codec, pixels in (
        ("gif", "gif", "rgb8"),
        ("avi", "mjpeg", "yuvj420p"),
        ("mkv", "mpeg4", "yuv420p"),
        ("mpg", "mpeg1video", "yuv420p"),
    ):
        path = folder / f"video.{name}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 16, 16, pixels
            for shade in range(3):
                picture = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 80 * shade, np.uint8), "rgb24")
                container.mux(stream.encode(picture.reformat(format=pixels)))
            container.mux(stream.encode(None))

        def read(path: Path = path) -> None:
            probe(path)
            sum(1 for _ in read_video(path, max_frames=3))

        add(f"video {name}", path, read, InputError)
    for ending, codec, layout in (("wav", "pcm_s16le", "s16"), ("m4a", "aac", "fltp")):
        sound = folder / f"sound.{ending}"
        with av.open(str(sound), "w") as container:
            track = container.add_stream(codec, rate=8000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16 if layout == "s16" else np.float32), layout, "mono")
            frame.sample_rate = 8000
            container.mux(track.encode(frame))
            container.mux(track.encode(None))

        def dub(sound: Path = sound) -> None:
            with VideoWriter(folder / "with-sound.mp4", fps=10, sound=Sound(sound)) as writer:
                writer.write(np.zeros((16, 16, 3), np.uint8))

        add(f"sound {ending}", sound, dub, InputError)


def _add_poses(folder: Path, add: Add) -> None:
    video = folder / "posed.mp4"
    with VideoWriter(video, fps=10) as writer:
        for _ in range(3):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    spots = np.random.default_rng(0).uniform(10, 50, (25, 2)).round(2).tolist()
    values = [[*spot, 0.9] for spot in spots]
    openpose = folder / "openpose"
    openpose.mkdir()
    for frame in range(3):
        person = {"pose_keypoints_2d": list(itertools.chain(*values))}
        (openpose / f"walk_{frame}_keypoints.json").write_text(json.dumps({"people": [person]}))
    keypoints = list(itertools.chain(*values[: len(COCO_KEYPOINTS)]))
    images = [{"id": frame, "file_name": f"{frame}.png"} for frame in range(3)]
    document = {"images": images, "annotations": [{"image_id": frame, "keypoints": keypoints} for frame in range(3)]}
    exact = {"images": images, "annotations": [{"image_id": f, "keypoints": keypoints, "metapix_joints": values[:18]} for f in range(3)]}
    results = [{"image_id": frame, "category_id": 1, "keypoints": keypoints, "score": 0.9} for frame in range(3)]
    for name, content in (("coco", document), ("exact", exact), ("results", results)):
        (folder / f"{name}.json").write_text(json.dumps(content))

    def follow(path: Path) -> None:
        prepare_video(video, folder / "prepared", size=16, estimator=PosesFromFiles(path), again=True)

    add("openpose", openpose / "walk_1_keypoints.json", lambda: follow(openpose), InputError)
    for name in ("coco", "exact", "results"):
        add(f"poses {name}", folder / f"{name}.json", lambda name=name: follow(folder / f"{name}.json"), InputError)


def _add_journal(folder: Path, add: Add) -> None:
    key = {"sha256": "0"}
    found = Found(np.arange(2), np.random.default_rng(0).random((2, 18, 3), np.float32), np.zeros((2, 4)), (b"png", None))
    Journal(folder / "found", key).write(0, found)
    entry = next(path for path in (folder / "found").iterdir() if path.suffix != ".json")

    def read() -> None:
        stored = Journal(folder / "found", key).read(0)
        if stored is not None:
            Found.together([stored])

    add("journal", entry, read)
    source = Source("video.mp4", "0")
    write_clip(Clip("x", torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.rand(1, 18, 3)), folder / "kept", source=source)
    add("kept clip", folder / "kept" / "manifest.json", lambda: is_prepared(folder / "kept", source, {}))
