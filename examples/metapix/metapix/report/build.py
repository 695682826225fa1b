"""build_report: results.json in, report.html out."""

from __future__ import annotations

from pathlib import Path

from metapix.files import writable, write_text
from metapix.report.media import load_media
from metapix.report.page import page
from metapix.report.results import read_results


def build_report(run_dir: Path) -> Path:
    """Write ``run_dir/report.html`` from ``run_dir/results.json`` and the pictures and videos it names.

    The page is one file that loads nothing from anywhere: pictures are inside it, and so are the videos unless
    they are larger than :data:`metapix.report.media.EMBED_LIMIT` together, in which case they stay beside it. The
    file is replaced whole or not at all.

    Returns:
        The page's path.

    Raises:
        InputError: when results.json is missing or cannot be understood, or names a picture or video that is
            missing, broken or outside ``run_dir``; the message says which and what to do.
    """
    results, target = read_results(run_dir), run_dir / "report.html"
    writable(target)
    html = page(run_dir.resolve().name, results, load_media(run_dir, results))
    write_text(target, html)
    return target
