"""The demo's last words on the terminal: the table, the times, and where to look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_NAMES = {
    "random": "random start",
    "pretrain": "pretrained",
    "pretrain-equal-steps": "pretrained, equal extra steps (fair)",
    "metapix": "MetaPix",
    "nearest-frame": "nearest frame (learns nothing)",
    "puppet": "puppet (learns nothing)",
}
_COLUMNS = {
    "SSIM": ("ssim", 3),
    "PSNR (dB)": ("psnr", 1),
    "MSE": ("mse", 0),
    "person PSNR (dB)": ("person_psnr", 1),
    "temporal std": ("temporal_std", 2),
}
"""Column title: (score, digits shown)."""


def print_results(results: dict[str, Any], run_dir: Path) -> None:
    """Show the rows as tables, the verdict, the seconds of each stage, and the files."""
    console = Console()
    for data in ("drawn", "real"):
        rows = [row for row in results["rows"] if row["data"] == data]
        if not rows:
            continue
        people = len(rows[0]["videos"])
        table = Table(title=f"Unseen {data} people ({people}): mean ± standard deviation over people", title_justify="left")
        table.add_column("start")
        for name in ("K", "T", *_COLUMNS):
            table.add_column(name, justify="right")
        for row in rows:
            scores = (_score(row, name, digits) for name, digits in _COLUMNS.values())
            table.add_row(_NAMES.get(row["init"], row["init"]), str(row["K"]), str(row["T"]), *scores)
        console.print(table)
    console.print(results["verdict"])
    console.print("seconds: " + ", ".join(f"{stage['name']} {stage['seconds']:.0f}" for stage in results["stages"]))
    for what, file in (("report: ", "report.html"), ("video:  ", "retarget.mp4")):
        console.print(f"{what}{run_dir / file}", markup=False, highlight=False, soft_wrap=True)  # a path is to be copied as it is


def _score(row: dict[str, Any], name: str, digits: int) -> str:
    if name not in row:
        return "-"
    spread = row.get(f"{name}_sd")
    return f"{row[name]:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")
