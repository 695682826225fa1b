"""The `gan-meta` command: what there is, what a file holds, how a run stands, files of published weights, response statistics."""

from __future__ import annotations

import io
import json
import signal
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from gan_meta.partial import output_of

if TYPE_CHECKING:
    from torch import Tensor

_TERMINATED = 143
"""128 + SIGTERM, as shells have it."""

app = typer.Typer(help="Meta-learning for GANs.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command("list")
def list_names() -> None:
    """List the algorithms and models that can be made by name."""
    from gan_meta import algorithms, models

    table = Table("kind", "name")
    for kind, names in (("algorithm", algorithms.available()), ("model", models.available())):
        for name in names:
            table.add_row(kind, name)
    Console().print(table)


@app.command()
def describe(model: Annotated[str, typer.Argument(help="A model's name, as `gan-meta list` shows it.")]) -> None:
    """Show a model's arguments with their defaults, its inputs and its outputs."""
    from gan_meta import models
    from gan_meta.checkpoint import CheckpointError

    try:
        words = models.describe(model)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    Console().print(words, markup=False, highlight=False, soft_wrap=True)


@app.command()
def inspect(file: Annotated[Path, typer.Argument(help="A .safetensors file saved by gan-meta.")]) -> None:
    """Show a file's model, arguments and facts, and the number of its weights."""
    from gan_meta.checkpoint import load_tensors

    tensors, document = load_tensors(file)
    weights = sum(tensor.numel() for tensor in tensors.values())
    console = Console()
    facts = f"{file}: {len(tensors)} tensors, {weights:,} values, {file.stat().st_size / 1e6:.1f} MB"
    console.print(facts, markup=False, soft_wrap=True)
    console.print_json(json.dumps(document))


@app.command()
def status(run: Annotated[Path, typer.Argument(help="A run folder (run_dir) of meta-training or joint training.")]) -> None:
    """Show how a run stands: progress, speed, time left, memory, checkpoints; also while it runs."""
    from gan_meta.training.run_status import run_status

    table = Table(show_header=False, box=None)
    for label, value in run_status(run).items():
        table.add_row(Text(label), Text(value))
    Console().print(table)


class Published(str, Enum):
    """Models whose published weights can be converted."""

    posewarp = "posewarp"
    pix2pixhd = "pix2pixhd"


class Features(str, Enum):
    """Perceptual features that come with response statistics."""

    vgg19 = "vgg19"
    efficientnet_lite0 = "efficientnet_lite0"


@app.command()
def convert(
    weights: Annotated[Path, typer.Argument(help="Published weights: Posewarp's .h5, or pix2pixHD's latest_net_G.pth.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    model: Annotated[Published, typer.Option(help="Whose weights they are.")] = Published.posewarp,
    discriminator: Annotated[
        Path | None, typer.Option(help="pix2pixHD's latest_net_D.pth; without it the discriminator starts from random weights.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of those random weights.", min=0, max=2**32 - 1)] = 0,
) -> None:
    """Make a file that gan-meta loads (gan_meta.load_pair) of published weights."""
    from gan_meta.checkpoint import CheckpointError, save_pair
    from gan_meta.models.conversion import pix2pixhd_pair, posewarp_pair

    _check_output(out)
    if discriminator is not None and model is not Published.pix2pixhd:
        raise CheckpointError("--discriminator goes with --model pix2pixhd; Posewarp's published files hold its generator only")
    try:
        pair = posewarp_pair(weights) if model is Published.posewarp else pix2pixhd_pair(weights, discriminator, seed)
    except (ValueError, ImportError) as error:
        raise CheckpointError(str(error)) from error
    files = [weights.name] + ([discriminator.name] if discriminator is not None else [])
    save_pair(pair, out, {"converted_from": files})
    count = sum(parameter.numel() for parameter in pair.parameters())
    fresh = model is Published.pix2pixhd and discriminator is None
    note = "; its discriminator starts from random weights" if fresh else ""
    Console().print(f"{out}: {model.value}, {count:,} weights{note}", markup=False, soft_wrap=True)


@app.command()
def statistics(
    images: Annotated[list[Path], typer.Argument(help="Training images, or folders of them.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    features: Annotated[Features, typer.Option(help="Whose responses.")] = Features.vgg19,
    weights: Annotated[
        Path | None, typer.Option(help="VGG19's weights: torchvision's file or Keras' .h5; by default where torch.hub keeps them.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Resize each image to this height and width first; by default they stay.", min=32, max=8192)
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, ...")] = "cpu",
) -> None:
    """Measure how features respond to your training images: mean and spread a channel, for Posewarp's loss."""
    from gan_meta.checkpoint import CheckpointError
    from gan_meta.image_files import find_images
    from gan_meta.models.posewarp.features import posewarp_features, response_statistics, save_statistics

    _check_output(out)
    _check_device(device)
    files = find_images(images)
    try:
        extractor = posewarp_features(features.value, weights).to(device)
        progress = track(files, description="images", console=Console(stderr=True), disable=not sys.stderr.isatty())
        tables = response_statistics(extractor, (_image(file, size, extractor.min_size).to(device) for file in progress))
    except (ValueError, ImportError) as error:
        raise CheckpointError(str(error)) from error
    save_statistics(out, tables, {"features": features.value, "images": len(files), "size": size})
    Console().print(f"{out}: {len(tables)} maps of {features.value} over {len(files)} images", markup=False, soft_wrap=True)


def _check_output(out: Path) -> None:
    """Refuse what would only fail after the work is done."""
    from gan_meta.checkpoint import CheckpointError

    if out.suffix != ".safetensors":
        raise CheckpointError(f"the output {out} must end in .safetensors")
    output_of(out)


def _image(file: Path, size: int | None, smallest: int) -> Tensor:
    """An image, refused by name where it is too small for the features."""
    from gan_meta.image_files import read_image

    image = read_image(file, size)
    if min(image.shape[2:]) < smallest:
        raise ValueError(
            f"{file} is {image.shape[3]}x{image.shape[2]}, too small for these features: they need {smallest}x{smallest}; give --size"
        )
    return image


def _check_device(device: str) -> None:
    """Refuse a device that is not there."""
    import torch

    from gan_meta.checkpoint import CheckpointError

    try:
        torch.empty(0, device=device).cpu()  # what lies on the meta device has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise CheckpointError(f"the device {device!r} cannot be used here; --device cpu always can") from error


def main() -> None:
    """Run the command line: exit code 2 and one line on stderr for wrong usage, a file that cannot be used, or where memory runs out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))  # as an exception, so that half-written files go on the way out
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        raise SystemExit(app(standalone_mode=False) or 0)
    except typer.Abort:  # Ctrl-C
        raise SystemExit(130) from None
    except Exception as error:
        problem = _problem(error)
        if problem is None:
            raise
        if problem:  # without any command, help was shown
            sys.stderr.write(f"gan-meta: {' '.join(problem.split())}\n")
        raise SystemExit(2) from None


def _problem(error: Exception) -> str | None:
    """What is wrong with what was given, in words; ``None`` for an error of ours."""
    from gan_meta.checkpoint import CheckpointError
    from gan_meta.memory import memory_problem

    if hasattr(error, "format_message"):  # typer's, for wrong usage
        return str(error.format_message())
    return memory_problem(error) or (str(error) if isinstance(error, CheckpointError | OSError) else None)
