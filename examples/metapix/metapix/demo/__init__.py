"""The demo: the whole story of MetaPix in a few minutes, on drawn people and on a real one."""

from metapix.demo.settings import DemoSettings, settings_for
from metapix.demo.story import run_demo

__all__ = ["DemoSettings", "run_demo", "settings_for"]
