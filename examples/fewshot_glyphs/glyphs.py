"""Few-shot fonts: from eight capitals of a font nobody trained on, draw the other eighteen. A GAN of one's own, start to end."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import gan_meta as gm

LETTERS, SHOTS, SIZE = string.ascii_uppercase, 8, 32
PLAIN = ("arvo", "bitter", "exo_2", "lora", "montserrat", "oswald", "quicksand", "raleway", "roboto", "rubik", "source_code_pro")
TRAINING = (*PLAIN, "alfa_slab_one", "caveat", "cinzel", "comfortaa", "lobster", "orbitron", "playfair_display")
UNSEEN = ("dancing_script", "josefin_sans", "merriweather", "righteous", "work_sans", "zilla_slab")


class Generator(nn.Module):
    """A letter (N, 26), one-hot -> its picture (N, 1, 32, 32) in [-1, 1]."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(len(LETTERS), 64 * width), nn.Unflatten(1, (4 * width, 4, 4)), nn.ReLU()]
        for wide, narrow in ((4, 4), (4, 2), (2, 1)):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(wide * width, narrow * width, 3, padding=1)]
            layers += [nn.GroupNorm(4, narrow * width), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1), nn.Tanh())

    def forward(self, letter: Tensor) -> Any:
        return self.net(letter)


class Discriminator(nn.Module):
    """A picture and its letter -> one score (N,): how real, and how much this letter (a projection, Miyato and Koyama 2018)."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.features = features(width)
        self.real = nn.Linear(64 * width, 1)
        self.is_letter = nn.Linear(len(LETTERS), 64 * width, bias=False)

    def forward(self, image: Tensor, letter: Tensor) -> Tensor:
        found = self.features(image)
        return torch.add(self.real(found).squeeze(1), (found * self.is_letter(letter)).mean(1))


def features(width: int) -> nn.Sequential:
    """(N, 1, 32, 32) -> (N, 64 * width)."""
    pairs = itertools.pairwise((1, width, 2 * width, 4 * width))
    return nn.Sequential(*(nn.Sequential(nn.Conv2d(narrow, wide, 4, 2, 1), nn.LeakyReLU(0.2)) for narrow, wide in pairs), nn.Flatten())


class GlyphObjective(gm.Objective):
    """Hinge losses, and ten times the squared difference to the true glyph; one value a sample, nothing detached."""

    def losses(self, pair: gm.GANPair, batch: gm.Batch) -> gm.Losses:
        fake = pair.generator(batch["letter"])
        on_real, on_fake = (self._judge(pair, image, batch) for image in (batch["image"], fake))
        pixel = 10 * (fake - batch["image"]).square().mean((1, 2, 3))
        generator = gm.losses.hinge_generator(on_fake) + pixel
        return gm.Losses(generator, gm.losses.hinge_real(on_real) + gm.losses.hinge_fake(on_fake), {"G_pixel": pixel})

    def _judge(self, pair: gm.GANPair, image: Tensor, batch: gm.Batch) -> Any:
        return pair.discriminator(image, batch["letter"]) if pair.discriminator is not None else None


def styles(family: str) -> Iterator[gm.Batch]:
    """Each style of a packaged family; of a variable font three weights: "letter" (26, 26), "image" (26, 1, 32, 32)."""
    for path in sorted(Path(str(files(f"fontpkg_{family}"))).glob("files/*.ttf")):
        font = ImageFont.truetype(str(path), 48)
        axes = font.get_variation_axes() if "[" in path.name else []
        bounds = [{axis[key] or 0 for key in ("minimum", "default", "maximum")} for axis in axes if axis["name"] == b"Weight"]
        for weight in sorted(bounds[0]) if bounds else [0]:
            if bounds:
                font.set_variation_by_axes([weight if axis["name"] == b"Weight" else axis["default"] or 0 for axis in axes])
            canvas = Image.new("L", (2 * SIZE, 2 * SIZE * len(LETTERS)))
            for place, letter in enumerate(LETTERS):
                ImageDraw.Draw(canvas).text((SIZE, 2 * SIZE * place + 52), letter, fill=255, font=font, anchor="ms")
            small = np.array(canvas.resize((SIZE, SIZE * len(LETTERS)), Image.Resampling.BOX), np.float32)
            yield {"letter": torch.eye(len(LETTERS)), "image": torch.from_numpy(small / 127.5 - 1).view(-1, 1, SIZE, SIZE)}


def reader(everything: gm.Batch) -> nn.Module:
    """A small classifier of letters, trained on the training fonts: can one read what was drawn?"""
    network, labels = nn.Sequential(features(16), nn.Linear(1024, len(LETTERS))), everything["letter"].argmax(1)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(300):
        picked = torch.randint(len(labels), (64,))
        noisy = everything["image"][picked] + 0.3 * torch.randn(64, 1, SIZE, SIZE)
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(network(noisy), labels[picked]))
        optimizer.step()
    return network.eval()


def main(
    algorithm: Annotated[Literal["reptile", "fomaml", "maml"], typer.Option(help="How the start is meta-learned.")] = "reptile",
    steps: Annotated[int, typer.Option(help="T: steps of adaptation to a font.")] = 20,
    iterations: Annotated[int, typer.Option(help="Meta-iterations.")] = 60,
    seed: Annotated[int, typer.Option(help="Of weights and draws.")] = 0,
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("glyphs.png"),
) -> None:
    """Meta-learn a start, adapt it to unseen fonts, and print how it does beside other starts and what learns nothing."""
    torch.manual_seed(seed)
    training = [font for family in TRAINING for font in styles(family)]
    unseen = [font for family in UNSEEN for font in styles(family)][::2]
    everything = {key: torch.cat([font[key] for font in training]) for key in ("letter", "image")}
    objective, scratch, read = GlyphObjective(), gm.GANPair(Generator(), Discriminator()), reader(everything)
    inner = gm.InnerLoop(steps=steps, lr=1e-3, batch_size=SHOTS, eps=1e-3 if algorithm == "maml" else 1e-8)
    joint = gm.InnerLoop(lr=1e-3, batch_size=32)
    pretrained = gm.pretrain(scratch.clone(), objective, everything, steps=400, inner=joint, seed=seed)
    fair = gm.pretrain(pretrained.clone(), objective, everything, steps=iterations * steps * SHOTS // 32, inner=joint, seed=seed + 1)
    tasks = gm.FewShotTasks(training, SHOTS, queries=len(LETTERS) - SHOTS)
    outer: dict[str, Any] = {"meta_lr": 3e-4, "meta_optimizer": "adam", "clip_norm": 10.0} if algorithm != "reptile" else {}
    learner = gm.algorithms.create(algorithm, objective=objective, inner=inner)
    theta = gm.MetaTrainer(pretrained.clone(), learner, tasks, iterations=iterations, seed=seed, **outer).fit()
    orders = [torch.randperm(len(LETTERS), generator=torch.Generator().manual_seed(number)) for number in range(len(unseen))]
    starts = {"scratch": scratch, "pretrained": pretrained, "pretrained, as long (fair)": fair, algorithm: theta}
    made: dict[str, list[Tensor]] = {"the font itself": [font["image"] for font in unseen]}
    for name, start in starts.items():
        supports = [gm.tasks.take(font, order[:SHOTS].tolist()) for font, order in zip(unseen, orders, strict=True)]
        made[name] = [gm.adapt(start, objective, support, inner)(everything["letter"][:26]).detach() for support in supports]
    made["nearest training font (learns nothing)"] = [
        min((other["image"] for other in training), key=lambda image: float((image - font["image"])[order[:SHOTS]].square().mean()))
        for font, order in zip(unseen, orders, strict=True)
    ]
    table = Table("start", "PSNR (dB)", "read rightly", title=f"{len(unseen)} unseen fonts, {SHOTS} letters shown, {steps} steps")
    for name, images in made.items():
        drawn = [(image[order[SHOTS:]], font["image"][order[SHOTS:]]) for image, font, order in zip(images, unseen, orders, strict=True)]
        psnr = np.mean([10 * np.log10(4 / max(float((image - true).square().mean()), 1e-9)) for image, true in drawn])
        right = torch.cat([read(image).argmax(1) == order[SHOTS:] for (image, _), order in zip(drawn, orders, strict=True)])
        table.add_row(name, "" if name == "the font itself" else f"{psnr:.2f}", f"{100 * float(right.float().mean()):.0f} %")
    Console().print(table)
    rows = [torch.cat(list(made[name][n]), dim=2)[0] for n in range(0, len(unseen), 5) for name in ("the font itself", *starts)]
    Image.fromarray(((torch.cat(rows) + 1) * 127.5).clamp(0, 255).byte().numpy()).save(out)


if __name__ == "__main__":
    typer.run(main)
