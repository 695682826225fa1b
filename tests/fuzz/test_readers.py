"""Damaged and hostile files meet every reader: only clean errors, and no memory to speak of."""

from __future__ import annotations

import json
import random
import resource
import struct
import zipfile

import av
import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metapix.data.folder import read_clip
from metapix.data.limits import decode_png
from metapix.data.video import read_video
from metapix.errors import InputError
from PIL import Image
from safetensors.torch import save_file

import gan_meta as gm
from gan_meta.checkpoint import load_tensors, save_tensors
from gan_meta.files import parse_json
from gan_meta.image_files import read_image
from gan_meta.models.conversion import pix2pixhd_pair, posewarp_pair
from gan_meta.models.weights import read_state_dict
from tests.fuzz.readers import SMALL, mutate, readers

INPUTS = 70  # each
ANY_NUMBER = ("lr", "skipped_tasks")
ARBITRARY = ["pair", "checkpoint", "joint checkpoint", "status", "png", "manifest", "results"]


@pytest.fixture(scope="module")
def all_readers(tmp_path_factory):
    return readers(tmp_path_factory.mktemp("readers"))


def test_every_reader_reads_its_good_file(all_readers):
    for name, reader in all_readers.items():
        assert reader.survives(reader.good), name


def test_damaged_files_give_clean_errors_and_take_no_memory(all_readers):
    draws = random.Random(11)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for reader in all_readers.values():
        reader.restore()
    accepted = {name: sum(reader.survives(mutate(reader.good, draws)) for _ in range(INPUTS)) for name, reader in all_readers.items()}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB
    refused = sum(INPUTS - count for count in accepted.values())
    assert refused > len(all_readers) * INPUTS / 3, accepted


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["pair", "checkpoint", "joint checkpoint", "status", "png", "manifest", "results"]),
    content=st.binary(max_size=300),
)
def test_arbitrary_bytes_give_clean_errors(all_readers, name, content):
    all_readers[name].survives(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_json_that_means_something_else_gives_clean_errors(all_readers, data):
    name = data.draw(st.sampled_from(["status", "manifest", "keypoints.json", "results"]))
    reader = all_readers[name]
    document = json.loads(reader.good)
    key = data.draw(st.sampled_from(sorted(document)))
    document[key] = data.draw(json_values)
    reader.survives(json.dumps(document).encode())


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_pairs_that_describe_something_else_give_clean_errors(tmp_path, data):
    tensors = gm.models.create("pix2pixhd", **SMALL).state_dict()
    name = data.draw(st.sampled_from(sorted(SMALL)))
    arguments = {**SMALL, name: data.draw(json_values | st.sampled_from([10**12, 4096, -1, 1e300]))}
    document = data.draw(st.sampled_from([{"model": "pix2pixhd", "arguments": arguments}, {"model": arguments, "arguments": []}]))
    path = tmp_path / "p.safetensors"
    save_file(tensors, path, {"format": "gan-meta", "version": "1", "document": json.dumps(document)})
    with pytest.raises(gm.CheckpointError):
        gm.load_pair(path)


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_training_checkpoints_that_say_something_else_give_clean_errors(all_readers, data):
    reader = all_readers[data.draw(st.sampled_from(["checkpoint", "joint checkpoint"]))]
    reader.restore()
    tensors, document = load_tensors(reader.path)
    at, key = document, data.draw(st.sampled_from(sorted({"settings", "counters", "optimizer", "optimizers", "position"} & set(document))))
    while isinstance(at[key], dict) and at[key] and data.draw(st.booleans()):
        at, key = at[key], data.draw(st.sampled_from(sorted(at[key])))
    before, at[key] = at[key], data.draw(json_values | st.sampled_from([10**30, -5, 1.5, 1e300]))
    save_tensors(reader.path, tensors, document)
    is_accepted = reader.survives(reader.path.read_bytes())
    assert not is_accepted or at[key] == before or key in ANY_NUMBER or "score" in at, (key, at[key])


def test_a_header_that_claims_a_terabyte_is_refused(tmp_path):
    header = json.dumps({"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    (tmp_path / "huge.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    (tmp_path / "header.safetensors").write_bytes(struct.pack("<Q", 10**12) + b"{}")
    for name in ("huge", "header"):
        with pytest.raises(gm.CheckpointError, match="not a readable safetensors file"):
            gm.load_pair(tmp_path / f"{name}.safetensors")


def test_torch_files_that_run_code_repeat_views_or_are_compressed_are_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    torch.save({"x": Bomb()}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match="holds more than tensors"):
        read_state_dict(tmp_path / "code.pth")
    assert not (tmp_path / "pwned").exists()
    torch.save({"model.1.weight": torch.zeros(1).expand(10**9, 3, 7, 7)}, tmp_path / "view.pth")
    with pytest.raises(ValueError, match="its tensors claim 588,000,000,000 bytes"):
        pix2pixhd_pair(tmp_path / "view.pth")
    torch.save({"x": torch.zeros(10**6)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(tmp_path / "zip.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry))
    with pytest.raises(ValueError, match="contents are compressed"):
        read_state_dict(tmp_path / "zip.pth")


def test_keras_files_that_point_elsewhere_or_claim_too_much_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(4000))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["w"] = np.zeros(4)
    layout = h5py.VirtualLayout((4,), np.float64)
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "w", (4,))
    writers = {
        "external": lambda file: file.create_dataset("conv2d/conv2d/bias", (1000,), "f4", external=[(str(tmp_path / "secret"), 0, 4000)]),
        "virtual": lambda file: file.create_virtual_dataset("conv2d/conv2d/bias", layout),
        "huge": lambda file: file.create_dataset("conv2d/conv2d/kernel", (10**6, 10**3, 10, 10), "f4", chunks=True),
    }
    for (name, write), words in zip(writers.items(), ("in another file", "in another file", "claims 400,000,000,000 bytes"), strict=True):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            write(file)
        with pytest.raises(ValueError, match=words):
            posewarp_pair(tmp_path / f"{name}.h5")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
    with pytest.raises(ValueError, match="convolutions"):
        posewarp_pair(tmp_path / "link.h5")


def test_pictures_are_measured_before_they_are_unpacked(tmp_path):
    Image.MAX_IMAGE_PIXELS, limit = None, Image.MAX_IMAGE_PIXELS
    try:
        Image.new("L", (10_000, 10_000)).save(tmp_path / "large.png")
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    with pytest.raises(ValueError, match="10000 x 10000 pixels"):
        read_image(tmp_path / "large.png")
    with pytest.raises(InputError, match="10000 x 10000 pixels"):
        decode_png((tmp_path / "large.png").read_bytes(), "it")
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(ValueError, match="not an image"):
        read_image(tmp_path / "script.png")


def test_videos_of_huge_frames_and_playlists_are_refused(tmp_path):
    with av.open(str(tmp_path / "large.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width = stream.height = 9000
        stream.pix_fmt = "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(9000, 9000, "yuvj420p")))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="9000 x 9000 pixels"):
        next(read_video(tmp_path / "large.avi"))
    with av.open(str(tmp_path / "small.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width = stream.height = 16
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    assert next(read_video(tmp_path / "small.mp4")).image.shape == (16, 16, 3)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsmall.mp4\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.txt").write_text("ffconcat version 1.0\nfile small.mp4\n")
    for name in ("list.m3u8", "list.txt"):
        with pytest.raises(InputError, match="cannot be read as a video"):
            next(read_video(tmp_path / name))


def test_a_clip_folder_names_no_file_outside_itself(all_readers):
    for reader in all_readers.values():
        reader.restore()
    reader = all_readers["manifest"]
    manifest = json.loads(reader.good)
    manifest["checksums"] = {"../../../etc/passwd": "0", **manifest["checksums"]}
    assert reader.survives(json.dumps(manifest).encode()), "names beside the expected ones are never opened"
    manifest["frames"] = 10**12
    reader.path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="no number of frames that fits its files"):
        read_clip(reader.path.parent)
    reader.restore()


def test_json_is_limited_in_size_and_depth():
    for text in ("[" * 10**5, '{"a":' * 10**5):
        with pytest.raises(ValueError, match="not JSON, or is damaged"):
            parse_json(text, "it")
    with pytest.raises(ValueError, match="more than the 67,108,864"):
        parse_json(b" " * (2**26 + 1), "it")
