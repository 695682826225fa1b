"""Models and clips that cannot be are refused before a video is written of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from metapix.data.drawn import draw_clip
from metapix.data.folder import read_clip, write_clip
from metapix.errors import InputError
from metapix.evaluation.frame_scores import forget_damaged
from metapix.people import personalize_to, start_with_recipe
from metapix.performer import Performer, check_drawn, load_performer, save_performer
from metapix.production import check_outputs, write_retargeted
from metapix.recipe import Recipe
from torch import Tensor

import gan_meta as gm
from gan_meta.checkpoint import load_tensors, save_tensors

SMALL = {"pose_channels": 18, "base_channels": 2, "n_downsample": 2, "n_blocks": 1, "discriminator_channels": 2, "n_layers": 1}
CLIP = draw_clip(0, 6, 32, fps=6)


def pair_of(value: float | None) -> gm.GANPair:
    torch.manual_seed(0)
    pair = gm.models.create("pix2pixhd", **SMALL)
    if value is not None:
        with torch.no_grad():
            for weight in pair.generator.parameters():
                weight.fill_(value)
    return pair


@pytest.mark.parametrize("value", [0.0, 1e8, -1e8])
def test_a_model_that_draws_one_colour_makes_no_video(tmp_path: Path, value: float) -> None:
    save_performer(tmp_path / "model.safetensors", pair_of(value), CLIP.select([0, 3]), {"size": 32})
    with pytest.raises(InputError, match="draws pictures of one colour and nobody in them"):
        write_retargeted(load_performer(tmp_path / "model.safetensors"), CLIP, tmp_path / "out.mp4", gif=tmp_path / "out.gif")
    with pytest.raises(InputError, match="draws pictures of one colour"):
        personalize_to(pair_of(value), Recipe(size=32, lr=0.0), CLIP.select([0, 3]), 1, tmp_path / "new.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_files_in_another_precision_are_used(tmp_path: Path, kind: torch.dtype) -> None:
    recipe = {"recipe": Recipe(size=32, lr=1e-3).as_dict()}
    gm.save_pair(pair_of(None).to(kind), tmp_path / "start.safetensors", recipe)
    save_performer(tmp_path / "model.safetensors", pair_of(None).to(kind), CLIP.select([0, 3]), {"size": 32})
    personalize_to(*start_with_recipe(tmp_path / "start.safetensors", None), CLIP.select([0, 3]), 1, tmp_path / "new.safetensors")
    assert torch.cat(list(load_performer(tmp_path / "model.safetensors").perform(CLIP.joints))).dtype == torch.float32


def test_pictures_of_poses_with_nobody_in_them_may_be_of_one_colour(tmp_path: Path) -> None:
    absent = CLIP.joints.clone()
    absent[:, :, 2] = 0
    joints = torch.cat([absent] * 3 + [CLIP.joints])  # more than are drawn at once
    drawn = torch.cat(list(Performer(CLIP.select([0, 3]), pair_of(None)).perform(joints)))
    assert len(drawn) == 24
    with pytest.raises(InputError, match="draws pictures of one colour"):
        list(Performer(CLIP.select([0, 3]), pair_of(0.0)).perform(joints))


def test_a_person_in_a_dark_room_may_be_black() -> None:
    check_drawn(-torch.ones(2, 3, 32, 32), dataclasses.replace(CLIP, frames=torch.zeros_like(CLIP.frames)))


@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_a_model_of_no_weights_is_refused(tmp_path: Path, value: float) -> None:
    save_performer(tmp_path / "model.safetensors", pair_of(value), CLIP.select([0, 3]), {"size": 32})
    with pytest.raises(gm.CheckpointError, match="holds what are no weights"):
        load_performer(tmp_path / "model.safetensors")


def other(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({f"extra/{name}": change(tensors[f"extra/{name}"])})


@pytest.mark.parametrize(
    "change",
    [
        other("frames", lambda t: t.float() * torch.nan),
        other("frames", lambda t: t[..., :1, :1]),
        other("frames", lambda t: t[:0]),
        other("masks", lambda t: t[:1]),
        other("joints", lambda t: t * torch.nan),
        other("joints", lambda t: t + 1e30),
        other("joints", lambda t: t.double()),
        lambda tensors: tensors.pop("extra/joints"),
        lambda tensors: tensors.update({"extra/boxes": torch.zeros(2, 3)}),
        lambda tensors: tensors.update({"extra/boxes": torch.full((2, 3), torch.nan)}),
    ],
)
def test_a_model_whose_frames_cannot_be_is_refused(tmp_path: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    file = tmp_path / "model.safetensors"
    save_performer(file, pair_of(None), CLIP.select([0, 3]), {"size": 32})
    assert load_performer(file).shots.size == 32
    tensors, document = load_tensors(file)
    change(tensors)
    save_tensors(file, tensors, document)
    with pytest.raises(InputError, match="is damaged: the frames of its person cannot be used"):
        load_performer(file)


@pytest.mark.parametrize(
    "claim",
    [
        {"boxes": [[float("nan")] * 3] * 6}, {"boxes": [[0, 0, 0]] * 6}, {"boxes": [[0, 0, -5]] * 6}, {"boxes": [[0, 0, 1e30]] * 6},
        {"boxes": [[0, 0, 5]] * 9}, {"boxes": "all"}, {"fps": 1e9}, {"fps": "25"}, {"size": 64}, {"size": 10**6}, {"masks": "no"},
        {"kind": "ghost"}, {"name": 5}, {"frames": 5}, {"times": [float("nan")] * 6}, {"times": [1e30 * number for number in range(6)]},
    ],
)  # fmt: skip
def test_a_clip_folder_whose_claims_cannot_be_is_refused(tmp_path: Path, claim: dict[str, Any]) -> None:
    write_clip(CLIP, tmp_path / "clip")
    manifest = json.loads((tmp_path / "clip" / "manifest.json").read_text())
    (tmp_path / "clip" / "manifest.json").write_text(json.dumps(manifest | claim))
    with pytest.raises(InputError, match="is damaged"):
        read_clip(tmp_path / "clip")


def test_an_input_is_not_written_over(tmp_path: Path) -> None:
    video, link = tmp_path / "video.mp4", tmp_path / "link.mp4"
    video.write_text("precious")
    link.symlink_to(video)
    for out in (video, link):
        with pytest.raises(InputError, match="which is read; give another name with --out"):
            check_outputs(out, None, "follow", [tmp_path / "clip", video])
    check_outputs(tmp_path / "new.mp4", tmp_path / "new.gif", "follow", [video])


def test_kept_scores_that_are_damaged_are_forgotten(tmp_path: Path) -> None:
    good = {"name": "a", "frames": 3, "psnr": 20.0, "not_computed": {}}
    texts = [
        json.dumps(good),
        "{",
        "[]",
        json.dumps(good | {"psnr": "x"}),
        json.dumps(good | {"ssim": float("nan")}),
        json.dumps({"psnr": 1.0}),
    ]
    files = [tmp_path / f"{number}.json" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    forget_damaged([*files, tmp_path / "absent.json"], lambda result: result)
    assert [file.name for file in tmp_path.iterdir()] == ["0.json"]
