"""The report of a run: one self-contained page made from results.json."""

from metapix.report.build import build_report

__all__ = ["build_report"]
