"""Every Python block of the documentation runs, page by page, with the names that the prose takes for granted; games are cut short."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomllib
import torch

import gan_meta as gm
import gan_meta.trainer
from gan_meta.models.posewarp import PosewarpObjective
from tests.conftest import SquaresObjective, small_batch, smooth_pair

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("examples/*/*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHORT = 2
BROKEN = "for broken in"
"""What marks the block whose objectives are meant to be refused."""


def blocks(page: Path) -> list[tuple[int, str]]:
    """A page's Python blocks, each with the line that it begins in."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in BLOCK.finditer(text)]


WITH_CODE = [page for page in PAGES if blocks(page)]


def taken_for_granted(page: Path) -> dict[str, object]:
    """What a page's prose speaks of without making it: subjects, and on most pages a pair, an objective and tasks."""
    names: dict[str, object] = {"gm": gm}
    if page.name in ("README.md", "metapix.md"):
        shapes = {"pose": (9, 18, 16, 16), "image": (9, 3, 16, 16)}
        names["videos"] = [{key: torch.rand(shape) * 2 - 1 for key, shape in shapes.items()} for _ in range(2)]
    elif page.name in ("index.md", "your-gan.md"):
        side = 32 if page.name == "index.md" else 16
        names["subjects"] = [torch.rand(9, 1, side, side) * 2 - 1 for _ in range(3)]
    elif page.name not in ("quickstart.md", "interoperability.md"):
        tasks = [gm.Task(small_batch(5, seed=seed), small_batch(3, seed=seed + 9)) for seed in range(3)]
        names.update(pair=smooth_pair(), objective=SquaresObjective(), tasks=gm.FixedTasks(tasks), support=tasks[0].support)
    return names


@pytest.fixture
def short_games(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """At most two iterations of training, of two steps each; and a model that a page registers is forgotten with it."""
    original = gan_meta.trainer.MetaTrainer.__init__

    def shortened(self, *arguments, iterations=SHORT, **options):
        original(self, *arguments, iterations=min(iterations, SHORT), **options)
        self.algorithm.inner = dataclasses.replace(self.algorithm.inner, steps=min(self.algorithm.inner.steps, SHORT))

    monkeypatch.setattr(gan_meta.trainer.MetaTrainer, "__init__", shortened)
    yield
    gm.models.registry._BUILDERS.pop("tiny-hinge", None)


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs(page, tmp_path, monkeypatch, short_games, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "dancers").mkdir(parents=True)
    torch.manual_seed(0)
    logging.getLogger("lightning").setLevel(logging.ERROR)
    names = {"__name__": "page", **taken_for_granted(page)}
    for line, code in blocks(page):
        before = dict(names)
        exec(compile("\n" * line + code, str(page), "exec"), names)
        said = capsys.readouterr().out
        assert BROKEN in code or not re.search("^refused", said, re.MULTILINE), said
        if BROKEN not in code:
            come_to_results({name: value for name, value in names.items() if before.get(name) is not value}, names)


def come_to_results(new, names):
    """What a block has made is used: its objectives under every algorithm, its algorithms on a task; its weights are numbers."""
    for value in new.values():
        if isinstance(value, type) and issubclass(value, gm.Objective) and value.__module__ == "page":
            play_with_all(value(), names["pair"], names["tasks"].sample(seed=0))
        elif isinstance(value, gm.algorithms.MetaAlgorithm) and "tasks" in names and not isinstance(value.objective, PosewarpObjective):
            # Posewarp's own tests have a game of pictures of people at 256x256.
            direction = value.meta_gradient(names["pair"], names["tasks"].sample(seed=0))
            assert direction.grads
            assert all(bool(torch.isfinite(grad).all()) for grad in direction.grads.values())
        elif isinstance(value, gm.GANPair):
            assert all(bool(torch.isfinite(weight).all()) for weight in value.parameters())


def play_with_all(objective, pair, task):
    """An objective of the documentation runs under each algorithm, MAML's two engines agree, and pretraining moves both players."""
    inner = gm.InnerLoop(steps=SHORT, eps=1e-3, lr=1e-3)
    for name in ("reptile", "fomaml"):
        grads = gm.algorithms.create(name, objective=objective, inner=inner).meta_gradient(pair, task).grads
        for player in pair.players:  # but not each: a critic's last bias has no slope
            assert sum(float(grad.norm()) > 0 for key, grad in grads.items() if key.startswith(player)) > 1
    unrolled, sweep = (
        gm.algorithms.create("maml", objective=objective, inner=inner, memory=memory).meta_gradient(pair, task).grads
        for memory in ("unrolled", "sweep")
    )
    torch.testing.assert_close(unrolled, sweep, rtol=1e-3, atol=1e-5)
    joint = pair.clone()
    gm.pretrain(joint, objective, task.support, steps=SHORT)
    for player in pair.players:
        moves = zip(getattr(pair, player).parameters(), getattr(joint, player).parameters(), strict=True)
        assert not all(torch.equal(before, after) for before, after in moves)


def test_the_broken_gans_hear_what_the_page_says(tmp_path, monkeypatch, short_games, capsys):
    """The three refusals on "Bring your GAN" are the program's own words."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "your-gan.md"
    names = {"__name__": "page", **taken_for_granted(page)}
    for _, code in blocks(page):
        exec(code, names)
        said = capsys.readouterr().out
        if "for broken in" in code:
            break
    quoted = re.findall(r"^- `(\w+)`, ([\w ]+): \*(.*?)\*", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(quoted) == 3
    for name, subject, words in quoted:
        assert f"{name} | {subject} | {' '.join(words.split())}" in said


def test_the_navigation_names_every_page():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("nav:")[1]
    listed = re.findall(r": (\S+\.md)$", navigation, re.MULTILINE)
    assert sorted(listed) == sorted(str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md"))


def test_the_reference_names_every_public_name():
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    elsewhere = {"Batch", "algorithms", "losses", "metrics", "models"}
    for name in set(gm.__all__) - elsewhere:
        assert re.search(rf"^::: gan_meta\.{name}$", pages, re.MULTILINE), name
    for module in elsewhere - {"Batch"}:
        assert f"::: gan_meta.{module}" in pages, module


def test_the_version_is_said_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert f"version: {gm.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"({gm.__version__})" in (ROOT / "docs" / "changelog.md").read_text(encoding="utf-8")
