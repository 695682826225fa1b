"""The report page: what it shows, what it refuses, and that a real browser draws it."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from metapix.errors import InputError
from metapix.report import build_report, media, plots
from metapix.report.page import duration
from metapix.report.style import STYLE
from metapix.report.words import PAPER_TABLE_1
from numpy.typing import NDArray
from PIL import Image

PEOPLE = ("Ana, treadmill", "Ben, garden", "Chidi, studio")


def figure(swing: float, tint: tuple[float, float, float], noise: float, size: int = 64) -> NDArray[np.uint8]:
    """A small picture of someone: a room, a round head, a body, arms at an angle, legs."""
    y, x = np.mgrid[0:size, 0:size] / size
    picture = np.stack([0.75 - 0.3 * y + 0.05 * np.sin(9 * x), 0.72 - 0.2 * y, 0.68 + 0.1 * x], axis=-1)
    shirt, skin = np.array(tint), np.array([0.85, 0.65, 0.5])

    def limb(x0: float, y0: float, x1: float, y1: float, width: float, colour: NDArray[np.float64]) -> None:
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2 + 1e-9), 0, 1)
        picture[np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)) < width] = colour

    limb(0.46, 0.6, 0.42 - swing / 6, 0.93, 0.045, shirt * 0.4)
    limb(0.54, 0.6, 0.58 + swing / 6, 0.93, 0.045, shirt * 0.4)
    limb(0.44, 0.36, 0.28, 0.36 + 0.25 * np.cos(swing * 2), 0.035, skin)
    limb(0.56, 0.36, 0.74, 0.36 - 0.25 * np.sin(swing * 2), 0.035, skin)
    limb(0.5, 0.38, 0.5, 0.56, 0.09, shirt)
    limb(0.5, 0.2, 0.5, 0.21, 0.075, skin)
    grain = np.random.default_rng(int(1000 * abs(swing))).normal(0, noise, picture.shape)
    pixels: NDArray[np.uint8] = (np.clip(picture + grain, 0, 1) * 255).astype(np.uint8)
    return pixels


def write_video(path: Path, panels: int = 3) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 128 * panels, 128, "yuv420p"
        for step in range(8):
            frame = np.concatenate([figure(np.sin(step / 3 + p), (0.2 + 0.2 * p, 0.3, 0.6), 0.02, 128) for p in range(panels)], axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def row(init: str, psnr: float, ssim: float, **more: Any) -> dict[str, Any]:
    """A row over the three people whose means are the given ones."""
    shift = (-1.25, 0.25, 1.0)
    videos = [
        {
            "name": name,
            "frames": 15,
            "psnr": psnr + d,
            "ssim": ssim + d / 50,
            "mse": 65025 / 10 ** ((psnr + d) / 10),
            "person_psnr": psnr + d - 4,
        }
        for name, d in zip(PEOPLE, shift, strict=True)
    ]
    return {
        "model": "pix2pixhd", "init": init, "K": 5, "T": 20, "ssim": ssim, "psnr": psnr, "mse": 65025 / 10 ** (psnr / 10),
        "temporal_std": 20 / psnr, "ssim_sd": 0.023, "psnr_sd": 1.15, "mse_sd": 61.0, "temporal_std_sd": 0.2, "person_psnr": psnr - 4,
        "data": "real", "reference": "none", "videos": videos, **more,
    }  # fmt: skip


def believable() -> dict[str, Any]:
    """The results of a run as the evaluation writes them, with every optional part."""
    learned_nothing = {"K": 5, "T": None}
    return {
        "settings": {"preset": "demo", "seed": 0, "inner": {"steps": 20, "lr": 0.0002, "flip": True, "betas": [0.5, 0.999]}, "note": None},
        "rows": [
            row("random", 10.31, 0.122), row("pretrain", 13.62, 0.265), row("pretrain-equal-steps", 14.20, 0.272),
            row("metapix", 15.64, 0.331), row("metapix", 16.84, 0.420, T=200), row("nearest-frame", 22.31, 0.821, **learned_nothing),
            row("pretrain-equal-steps", 24.60, 0.868, reference="puppet"), row("metapix", 24.80, 0.868, reference="puppet"),
            row("puppet", 24.55, 0.870, reference="puppet", **learned_nothing),
            row("pretrain-equal-steps", 18.41, 0.465, data="drawn"), row("metapix", 19.27, 0.505, data="drawn"),
        ],
        "stages": [
            {"name": "prepare", "seconds": 41.3}, {"name": "pretrain", "seconds": 312.0},
            {"name": "meta-train", "seconds": 1015.2}, {"name": "evaluate", "seconds": 118.9},
        ],
        "people": [{"name": f"drawn 1–80, {kind}", "kind": "drawn", "role": "training"} for kind in ("plain", "textured")]
        + [{"name": name, "kind": "real", "role": "unseen"} for name in PEOPLE],
        "curves": [
            {"title": "PSNR against fine-tuning steps", "x_label": "steps T", "y_label": "PSNR (dB)", "series": [
                {"label": "random", "x": [0, 20, 60, 200], "y": [7.2, 10.3, 12.1, 14.0]},
                {"label": "pretrain-equal-steps", "x": [0, 20, 60, 200], "y": [12.9, 14.2, 15.1, 16.0]},
                {"label": "metapix", "x": [0, 20, 60, 200], "y": [12.2, 15.6, 16.3, 16.8]}]},
            {"title": "SSIM against frames", "x_label": "frames K", "y_label": "SSIM", "series": [
                {"label": "pretrain-equal-steps", "x": [1, 2, 5, 10], "y": [0.21, 0.24, 0.272, 0.29]},
                {"label": "metapix", "x": [1, 2, 5, 10], "y": [0.25, 0.30, 0.331, 0.36]}]},
        ],
        "strips": [{
            "title": "Frames nobody trained on", "caption": "Each row is a later frame of someone unseen; the first picture is real.",
            "columns": ["real", "pose", "random", "pretrained", "fair baseline", "MetaPix", "puppet"],
            "rows": [[f"pictures/{person}_{column}.png" for column in range(7)] for person in range(3)]}],
        "videos": [
            {"title": "Ana does Ben's moves.", "file": "retarget.mp4", "caption": "From the left: Ben, the puppet, MetaPix."},
            {"title": "Ben, from his own poses.", "file": "ben.mp4", "caption": "Held-out frames."},
            {"title": "Chidi, from his own poses.", "file": "chidi.mp4", "caption": "Held-out frames."}],
        "verdict": "From five frames and twenty steps, MetaPix draws unseen people better than the fair baseline, "
                   "and with the puppet's help it is worth watching.",
    }  # fmt: skip


def write_run(folder: Path, results: dict[str, Any]) -> Path:
    """The results with made-up pictures and videos for each one they name."""
    folder.mkdir(parents=True, exist_ok=True)
    for strip in results.get("strips", []):
        for person, names in enumerate(strip["rows"]):
            for column, name in enumerate(names):
                path = folder / name
                path.parent.mkdir(exist_ok=True)
                tint = ((0.8, 0.3, 0.3), (0.25, 0.5, 0.35), (0.3, 0.4, 0.8))[person % 3]
                Image.fromarray(figure(0.3 + person / 2, tint, (0, 0, 0.3, 0.15, 0.1, 0.06, 0.03)[column % 7])).save(path)
    for clip in results.get("videos", []):
        write_video(folder / clip["file"], panels=3 if clip["file"] == "retarget.mp4" else 2)
    (folder / "results.json").write_text(json.dumps(results))
    return folder


@dataclass
class Page(HTMLParser):
    """What a page says and loads."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    stack: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tables: list[list[list[tuple[str, bool]]]] = field(default_factory=list)  # cells as (text, marked best)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag not in {"meta", "img", "link", "path", "rect", "circle", "line", "polyline"}:
            self.stack.append((tag, attributes))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append(("", attributes.get("class") == "best"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack, f"</{tag}> closes nothing"
        opened, _ = self.stack.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        open_tags = [tag for tag, _ in self.stack]
        if "style" in open_tags:
            return
        self.text += data
        if ("td" in open_tags or "th" in open_tags) and "svg" not in open_tags:
            words, best = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (words + data, best)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def parsed(report: Path) -> Page:
    page = Page()
    page.feed(report.read_text(encoding="utf-8"))
    page.close()
    assert not page.stack, f"left open: {page.stack}"
    return page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "demo", believable())


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return parsed(build_report(run))


def score_tables(page: Page) -> list[list[list[tuple[str, bool]]]]:
    return [table for table in page.tables if table[0] and table[0][0][0] == "Start"]


def test_the_tables_are_grouped_and_show_the_numbers(page: Page) -> None:
    headings = re.findall(r"(?:Real people on video|Drawn people) (?:starting from the puppet|with the empty room|pose only)", page.text)
    assert headings == ["Real people on video starting from the puppet", "Real people on video pose only", "Drawn people pose only"]
    assert [len(table) - 1 for table in score_tables(page)] == [3, 6, 2]
    metapix = [cell for cell, _ in score_tables(page)[1][4]]
    assert metapix[:3] == ["MetaPixmeta-learned start", "5", "20"]
    mse = 65025 / 10**1.564
    assert metapix[3:] == ["0.331 ± 0.023", "15.64 ± 1.15", "11.64", f"{mse:,.0f} ± 61", f"{20 / 15.64:.2f} ± 0.20"]
    assert "pretrained, equal extra stepsthe fair baseline" in [line[0][0] for line in score_tables(page)[1]]


def test_the_best_of_each_column_is_marked_and_equal_figures_alike(page: Page) -> None:
    puppet, pose_only, _ = score_tables(page)
    marked = [(line, column) for line, cells in enumerate(pose_only) for column, (_, best) in enumerate(cells) if best]
    assert marked == [(6, column) for column in range(3, 8)], "the nearest frame wins every column, also those where lower is better"
    ssim = [cells[3] for cells in puppet[1:]]
    assert ssim == [("0.868 ± 0.023", False), ("0.868 ± 0.023", False), ("0.870 ± 0.023 (best)", True)]


def test_equal_figures_are_all_best(tmp_path: Path) -> None:
    results = {"settings": {}, "rows": [row("metapix", 20.001, 0.5), row("pretrain", 20.004, 0.4), row("random", 10.0, 0.4)]}
    (table,) = score_tables(parsed(build_report(write_run(tmp_path / "run", results))))
    assert [cells[4][1] for cells in table[1:]] == [True, True, False]
    assert [cells[3][1] for cells in table[1:]] == [True, False, False]


def test_where_nothing_differs_nothing_is_best(tmp_path: Path) -> None:
    (table,) = score_tables(
        parsed(build_report(write_run(tmp_path / "run", {"settings": {}, "rows": [row("metapix", 20.0, 0.5), row("pretrain", 20.0, 0.5)]})))
    )
    assert not any(best for cells in table for _, best in cells)


def test_metapix_is_compared_with_the_fair_baseline_person_by_person(tmp_path: Path) -> None:
    meta, fair = row("metapix", 20.0, 0.5), row("pretrain-equal-steps", 19.0, 0.52)
    gains = (2.5, 1.0, -0.5)
    for gain, mine, other in zip(gains, meta["videos"], fair["videos"], strict=True):
        mine["psnr"] = other["psnr"] + gain
    text = parsed(build_report(write_run(tmp_path / "run", {"settings": {}, "rows": [fair, meta]}))).text
    assert f"PSNR +1.00 ± {np.std(gains, ddof=1):.2f} dB (better for 2 of 3); SSIM −0.020 ± 0.000 (better for 0 of 3)" in text


def test_no_comparison_across_different_steps(tmp_path: Path) -> None:
    rows = [row("pretrain-equal-steps", 19.0, 0.5), row("metapix", 20.0, 0.5, T=200)]
    assert "person by person:" not in parsed(build_report(write_run(tmp_path / "run", {"settings": {}, "rows": rows}))).text


def test_nothing_is_loaded_from_elsewhere_and_no_script_is_needed(run: Path, page: Page) -> None:
    source = (run / "report.html").read_text(encoding="utf-8")
    assert "http:" not in source
    assert "https:" not in source
    assert not {"script", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    assert not re.search(r"@import|url\(", STYLE)
    loaded = [
        value for _, attributes in page.tags for name, value in attributes.items() if name in {"src", "href", "srcset", "poster", "data"}
    ]
    assert loaded
    assert all(value.startswith(("data:", "#")) for value in loaded)
    (policy,) = [attributes["content"] for attributes in page.all("meta") if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_the_pictures_and_videos_are_the_run_s_own_and_described(run: Path, page: Page) -> None:
    import base64

    images = page.all("img")
    assert len(images) == 21
    first = base64.b64decode(images[0]["src"].removeprefix("data:image/png;base64,"))
    assert first == (run / "pictures/0_0.png").read_bytes()
    assert images[9]["alt"] == "Frames nobody trained on: random, row 2"
    assert all(image["width"] == image["height"] == "64" for image in images)
    videos = page.all("video")
    assert [video["aria-label"] for video in videos] == [clip["title"] for clip in believable()["videos"]]
    assert base64.b64decode(videos[0]["src"].removeprefix("data:video/mp4;base64,")) == (run / "retarget.mp4").read_bytes()
    assert page.text.index("Ana does Ben's moves.") < page.text.index("From five frames") < page.text.index("Frames nobody")


def test_large_videos_stay_beside_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = believable()
    results["videos"][0]["file"] = "a film #1 & more.mp4"
    run = write_run(tmp_path / "run", results)
    monkeypatch.setattr(media, "EMBED_LIMIT", sum(path.stat().st_size for path in run.glob("*.mp4")))
    sources = [video["src"] for video in parsed(build_report(run)).all("video")]
    assert sources == ["a%20film%20%231%20%26%20more.mp4", "ben.mp4", "chidi.mp4"]
    monkeypatch.setattr(media, "EMBED_LIMIT", media.EMBED_LIMIT + 1)
    assert all(video["src"].startswith("data:video/mp4;base64,") for video in parsed(build_report(run)).all("video"))


def test_everything_is_escaped(tmp_path: Path) -> None:
    nasty = "<script>alert('x')</script>\"&"
    results = believable()
    results["verdict"] = nasty
    results["settings"] = {nasty: {nasty: nasty}}
    results["people"] = [{"name": nasty, "kind": nasty, "role": nasty}]
    results["stages"] = [{"name": nasty, "seconds": 1}]
    for entry in results["videos"]:
        entry["title"] = entry["caption"] = nasty
    results["strips"][0].update(title=nasty, caption=nasty, columns=[nasty] * 7)
    for curve in results["curves"]:
        curve.update(title=nasty, x_label=nasty, y_label=nasty)
        for series in curve["series"]:
            series["label"] = nasty
    for entry in results["rows"]:
        entry.update(model=nasty, init=nasty, K=nasty, T=nasty, data=nasty, reference=nasty)
        for video in entry["videos"]:
            video["name"] = nasty
    folder = write_run(tmp_path / "a<b>&'\"", results)
    page = parsed(build_report(folder))
    assert not page.all("script")
    assert page.text.count(nasty) > 40
    assert page.all("img")[0]["alt"] == f"{nasty}: {nasty}, row 1"
    assert "<script" not in (folder / "report.html").read_text()


def test_settings_and_rows_are_enough(tmp_path: Path) -> None:
    bare = {"model": "pix2pixhd", "init": "metapix", "K": 5, "T": 20, "ssim": 0.5, "psnr": None, "mse": math.nan}
    page = parsed(build_report(write_run(tmp_path / "run", {"settings": {}, "rows": [bare, {**bare, "psnr": math.inf, "mse": 0.0}]})))
    (table,) = score_tables(page)
    assert [cell for cell, _ in table[1]] == ["MetaPixmeta-learned start", "5", "20", "0.500", "–", "–"]
    assert [cell for cell, _ in table[2]][3:] == ["0.500", "∞", "0"]
    sections = [attributes["id"] for attributes in page.all("section") if "id" in attributes]
    assert sections == ["scores", "consent"]
    assert not page.all("video") + page.all("img") + page.all("svg")


def test_an_empty_run_says_so(tmp_path: Path) -> None:
    assert "This run measured nothing." in parsed(build_report(write_run(tmp_path / "run", {"settings": {}, "rows": []}))).text


def test_the_words_around_the_numbers(page: Page) -> None:
    for part in ("averaged over a person's frames first", "synthetic", "Only", "agreed", "not comparable", "a frozen picture scores 0"):
        assert part in page.text or part.lower() in page.text, part
    (paper,) = [table for table in page.tables if table[0][0][0] == "Model"]
    assert [[cell for cell, _ in line] for line in paper[1:]] == [list(line) for line in PAPER_TABLE_1]
    assert "inner.betas" in page.text
    assert "0.5, 0.999" in page.text
    assert "The whole run took 24 min 47 s." in page.text


def test_dots_lie_where_the_numbers_say(page: Page) -> None:
    chart = plots.dot_plot(
        "t", "x", ["a", "b"], [plots.Dots("s", plots.Mark(0), [1.0, None]), plots.Dots("r", plots.Mark(0, hollow=True), [3.0, 2.0])]
    )
    x = [float(value) for value in re.findall(r'cx="([\d.]+)"', chart)]
    assert len(x) == 3
    assert x[2] == pytest.approx((x[0] + x[1]) / 2, abs=0.06)
    y = [float(value) for value in re.findall(r'cy="([\d.]+)"', chart)]
    assert len(set(y)) == 3
    assert len([a for a in page.all("svg") if a.get("role") == "img"]) == 3 * 3 + 2, (
        "SSIM, PSNR and the person's PSNR a group, and two curves"
    )


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (13.37, 24.9), (-3.0, -2.9), (0.5, 0.5), (0.0, 0.0), (1e-9, 3e-9), (0, 65025.0)])
def test_ticks_are_few_round_and_reach_both_ends(low: float, high: float) -> None:
    axis = plots.ticks(low, high)
    assert axis[0] <= low
    assert axis[-1] >= high
    assert 2 <= len(axis) <= 8
    assert np.allclose(np.diff(axis), axis[1] - axis[0])
    mantissa = (axis[1] - axis[0]) / 10 ** math.floor(math.log10((axis[1] - axis[0]) * (1 + 1e-9)))
    assert min(abs(mantissa - round_number) for round_number in (1, 2, 2.5, 5)) < 1e-6


def test_an_axis_of_whole_numbers_has_whole_ticks() -> None:
    assert plots.ticks(1, 10, whole=True) == [0, 5, 10]
    assert plots.ticks(1, 3, whole=True) == [1, 2, 3]
    assert plots.ticks(1, 10) == [0, 2.5, 5, 7.5, 10]


def test_models_are_a_column_where_they_differ(tmp_path: Path) -> None:
    rows = [row("metapix", 20.0, 0.5), row("metapix", 19.0, 0.5, model="posewarp")]
    (table,) = score_tables(parsed(build_report(write_run(tmp_path / "run", {"settings": {}, "rows": rows}))))
    assert [line[1][0] for line in table] == ["Model", "pix2pixhd", "posewarp"]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.97, "1 min 00 s"), (252, "4 min 12 s"), (3900, "1 h 05 min")]
)
def test_durations_for_people(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("scheme", [0, 1])
def test_contrast_meets_wcag_in_light_and_dark(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", STYLE, flags=re.S)
    colours = dict(re.findall(r"--([\w]+): (#[0-9a-f]{6})", blocks[scheme]))

    def contrast(a: str, b: str) -> float:
        bright, dark = sorted((luminance(colours[a]), luminance(colours[b])), reverse=True)
        return (bright + 0.05) / (dark + 0.05)

    for ground in ("paper", "card", "tint"):
        assert contrast("ink", ground) >= 7
        assert contrast("accent", ground) >= 4.5
    assert min(contrast("soft", ground) for ground in ("paper", "card")) >= 4.5
    assert min(contrast(f"c{index}", "paper") for index in range(plots.PALETTE)) >= 4.5


def changed(path: str, value: Any) -> dict[str, Any]:
    """The believable results with one place changed: "rows.0.ssim"."""
    results: Any = believable()
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target = results
    for part in parents:
        target = target[part]
    if value is KeyError:
        del target[last]
    else:
        target[last] = value
    return dict(results)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("rows", KeyError, '"rows" is missing'),
        ("settings", [], "settings: expected an object, found"),
        ("rows", {}, "rows: expected a list, found {}"),
        ("rows.1", 3, r"rows\[1\]: expected an object, found 3"),
        ("rows.2.init", KeyError, r'rows\[2\]: "init" is missing'),
        ("rows.2.ssim", KeyError, r'rows\[2\]: "ssim" is missing'),
        ("rows.0.ssim", "high", r'rows\[0\]\.ssim: expected a number, found "high"'),
        ("rows.0.psnr", True, r"rows\[0\]\.psnr: expected a number, found true"),
        ("rows.0.mse", 10**400, r"rows\[0\]\.mse: the number is out of range"),
        ("rows.0.K", 2.5, r"rows\[0\]\.K: expected a whole number or a word"),
        ("rows.0.videos.1.name", 7, r"rows\[0\]\.videos\[1\]\.name: expected a text"),
        ("stages.0.seconds", math.inf, r"stages\[0\]\.seconds: expected a finite number"),
        ("curves.0.series.1.x", [1, 2], r"curves\[0\]\.series\[1\]: x has 2 values and y has 4"),
        ("strips.0.columns", ["real"], "row 0 has 7 pictures for 1 columns"),
        ("strips.0.rows.0.0", "pictures/absent.png", "absent.png is named in results.json but does not exist"),
        ("strips.0.rows.0.0", "results.json", "is not a whole PNG"),
        ("strips.0.rows.0.0", "../secret.png", "outside"),
        ("strips.0.rows.0.0", "link.png", "outside"),
        ("strips.0.rows.0.0", "a\0b.png", "not a usable name"),
        ("strips.0.rows.0.0", "x" * 5000, "cannot be opened"),
        ("videos.0.file", "/etc/hostname", "outside"),
        ("videos.0.file", "absent.mp4", "absent.mp4 is named in results.json but does not exist"),
        ("videos.0.file", "results.json", "not a video that browsers play"),
        ("videos.0.file", "empty.mp4", "not a whole .mp4 video"),
    ],
)
def test_bad_results_are_refused_and_the_old_page_stays(run: Path, tmp_path: Path, path: str, value: Any, words: str) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    (tmp_path / "secret.png").write_bytes((run / "pictures/0_0.png").read_bytes())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "empty.mp4").touch()
    (folder / "results.json").write_text(json.dumps(changed(path, value)))
    (folder / "report.html").write_text("the old page")
    with pytest.raises(InputError, match=words) as caught:
        build_report(folder)
    assert "\n" not in str(caught.value)
    assert (folder / "report.html").read_text() == "the old page"
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_garbled_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(InputError, match="not valid JSON"):
        build_report(tmp_path)


def test_a_missing_results_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"results\.json does not exist; run `metapix evaluate`"):
        build_report(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        build_report(tmp_path / "nowhere")


def test_the_same_results_give_the_same_page(run: Path) -> None:
    first = build_report(run).read_bytes()
    assert build_report(run).read_bytes() == first


def browser(folder: Path, page: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Headless Chromium on a page; everything that would talk to a network is off."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program, "this test needs a browser: apt-get install chromium"
    flags = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=4000",
    )  # fmt: skip
    return subprocess.run([program, *flags, *arguments, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)


PROBE = """<script>addEventListener("load", async () => {
  const videos = [...document.querySelectorAll("video")];
  const shown = v => new Promise(done => { v.readyState >= 2 || v.error ? done() : (v.onloadeddata = v.onerror = done); });
  await Promise.all(videos.map(shown));
  document.title = JSON.stringify({
    images: [...document.images].map(i => i.naturalWidth), videos: videos.map(v => v.error ? 0 : v.videoWidth),
    wide: document.documentElement.scrollWidth, window: innerWidth, headline: getComputedStyle(document.querySelector("h1")).color });
});</script>"""


@pytest.mark.parametrize("embedded", [True, False])
def test_a_browser_decodes_every_picture_and_video(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded: bool) -> None:
    if not embedded:
        monkeypatch.setattr(media, "EMBED_LIMIT", 0)
    folder = shutil.copytree(run, tmp_path / "run")
    source = build_report(folder).read_text(encoding="utf-8")
    allowed = source.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    assert allowed != source
    probe = folder / "probe.html"
    probe.write_text(allowed.replace("</main>", f"</main>{PROBE}"), encoding="utf-8")
    result = browser(tmp_path, probe, "--dump-dom", "--window-size=500,900")
    title = re.search(r"<title>(\{.*?\})</title>", result.stdout)
    assert title, result.stderr
    seen = json.loads(title.group(1))
    assert seen["images"] == [64] * 21
    assert seen["videos"] == [384, 256, 256]
    assert seen["wide"] <= seen["window"], "the page must not scroll sideways"
    assert seen["headline"] == "rgb(29, 33, 38)", "the style sheet was not applied"
    assert "CONSOLE" not in result.stderr, result.stderr


def test_a_browser_draws_the_page_without_complaint(run: Path, tmp_path: Path) -> None:
    report, picture = build_report(run), tmp_path / "page.png"
    result = browser(tmp_path, report, f"--screenshot={picture}", "--window-size=600,3000")
    assert "CONSOLE" not in result.stderr, result.stderr
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(float)
    bands = pixels.reshape(10, -1, *pixels.shape[1:])
    assert (bands.std(axis=(1, 2, 3)) > 5).all(), "a tenth of the page is blank"


@pytest.mark.parametrize("models", [["Pix2PixHD"], ["Pix2PixHD", "Posewarp"]])
def test_a_model_that_sees_more_than_the_pose_is_explained(tmp_path: Path, models: list[str]) -> None:
    rows = [row("metapix", 15.0, 0.3, model=model, data="drawn") for model in models]
    (tmp_path / "results.json").write_text(json.dumps({"settings": {}, "rows": rows}))
    html = build_report(tmp_path).read_text()
    assert html.count("Posewarp is also given one of the K frames") == len(models) - 1
