"""The demo's last words on the terminal: the table, the times, and where to look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_NAMES = {
    "random": "random",
    "pretrain": "pretrained",
    "pretrain-equal-steps": "equal steps",
    "metapix": "MetaPix",
    "nearest-frame": "nearest*",
    "puppet": "puppet*",
}
_COLUMNS = {
    "SSIM": ("ssim", 3),
    "PSNR": ("psnr", 1),
    "MSE": ("mse", 0),
    "person": ("person_psnr", 1),
    "temporal": ("temporal_std", 2),
}
"""Column title: (score, digits shown)."""
_GIVEN = {"none": "", "plate": ", the empty room given", "puppet": " at most, the start that ships"}
_NOTE = (
    "Mean ± standard deviation over people. PSNR in dB, person: on the person alone; temporal: standard deviation of a frame's "
    "mean brightness. Equal steps, the fair baseline: pretrained, with as many further training steps as meta-training took. "
    "*: learns nothing."
)


def print_results(results: dict[str, Any], run_dir: Path) -> None:
    """Show the rows as tables, the verdict, the seconds of each stage, and the files."""
    console = Console()
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in results["rows"]:
        groups.setdefault((row["data"], row["reference"]), []).append(row)
    for (data, reference), rows in groups.items():
        shots, steps, people = rows[0]["K"], max(row["T"] for row in rows), len(rows[0]["videos"])
        title = f"Unseen {data} people ({people}), K = {shots} frames, T = {steps} steps{_GIVEN[reference]}"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
        table.add_column("start", no_wrap=True)
        for name in _COLUMNS:
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            scores = (_score(row, name, digits) for name, digits in _COLUMNS.values())
            table.add_row(_name(row, rows), *scores)
        console.print(table)
    console.print(_NOTE, style="dim")
    console.print(results["verdict"])
    console.print("seconds: " + ", ".join(f"{stage['name']} {stage['seconds']:.0f}" for stage in results["stages"]))
    for what, file in (("report: ", "report.html"), ("video:  ", "retarget.mp4")):
        console.print(f"{what}{run_dir / file}", markup=False, highlight=False, soft_wrap=True)  # a path is to be copied as it is


def _name(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """A start's name, with its model and its T where the group has more than one of them."""
    name = _NAMES.get(row["init"], row["init"])
    twins = [other for other in rows if other["init"] == row["init"]]
    if len({other["model"] for other in twins}) > 1:
        name = f"{row['model']} {name}"
    return name if sum(other["model"] == row["model"] for other in twins) == 1 else f"{name}, T={row['T']}"


def _score(row: dict[str, Any], name: str, digits: int) -> str:
    if name not in row:
        return "-"
    spread = row.get(f"{name}_sd")
    return f"{row[name]:.{digits}f}" + ("" if spread is None else f" ±{spread:.{digits}f}")
