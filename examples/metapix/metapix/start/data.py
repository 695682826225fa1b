"""The people that a start learns from and is scored on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gan_meta.seeds import derive_seed
from metapix.data.bundled import bundled_videos
from metapix.data.clip import Clip
from metapix.data.drawn import draw_clip
from metapix.data.prepare import prepare_clip
from metapix.errors import InputError
from metapix.reference_tasks import ReferenceSamples
from metapix.start.settings import StartSettings

Progress = Callable[[str, int, int], None]
"""Told (what is being done, how much of it is done, of how much)."""

SCORED_FRAMES = 40


def training_samples(settings: StartSettings, run_dir: Path, progress: Progress) -> ReferenceSamples:
    """All samples of the joint training: the same bytes for the same settings.

    Raises:
        InputError: when the packaged clips are not there, or a clip is both learned from and scored.
    """
    both = set(settings.real_clips) & set(settings.scored_clips)
    if both:
        raise InputError(f"{', '.join(sorted(both))}: a clip that is learned from cannot be scored as unseen")
    people = drawn_people(settings, "training", settings.drawn_people, settings.drawn_frames, progress)
    real = real_people(settings, settings.real_clips, run_dir, progress)
    clips = people + real
    return ReferenceSamples(
        clips,
        settings.reference,
        rounds=[settings.drawn_rounds] * len(people) + [settings.real_rounds] * len(real),
        targets=settings.targets,
        seed=settings.seed,
        person_weight=settings.person_weight,
        tick=lambda done: progress("make references", done, len(clips)),
    )


def drawn_people(settings: StartSettings, kind: str, count: int, frames: int, progress: Progress) -> list[Clip]:
    """Drawn people of seeds that belong to this kind alone, ``"training"`` or ``"unseen"``."""
    clips = []
    for number in range(count):
        seed = derive_seed(settings.seed, "start", kind, number) % 2**31
        clips.append(draw_clip(seed, frames, settings.size, fps=settings.drawn_fps, noise=settings.noise))
        progress("draw people", number + 1, count)
    return clips


def real_people(settings: StartSettings, names: Sequence[str], run_dir: Path, progress: Progress) -> list[Clip]:
    """Packaged clips at the network's size; prepared once and kept in the run's folder."""
    videos = bundled_videos()
    unknown = [name for name in names if name not in videos]
    if unknown:
        raise InputError(f"there is no packaged clip {unknown[0]!r}; there are {', '.join(videos)}")
    (run_dir / "clips").mkdir(parents=True, exist_ok=True)
    clips = []
    for number, name in enumerate(names):
        # At the size of the demo's pictures, as a user's own clip would be, and made smaller from there.
        clip = prepare_clip(videos[name], run_dir / "clips" / name, size=256, name=name, crop="fixed")
        clips.append(clip.resized(settings.size))
        progress("find the people in real clips", number + 1, len(names))
    return clips
