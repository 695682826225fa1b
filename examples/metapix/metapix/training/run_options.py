"""RunOptions: how a training run is kept and watched; nothing here changes what is learned."""

from __future__ import annotations

from dataclasses import dataclass

from gan_meta.training.run_log import check_logs

_IN_STEP = ("csv", "tensorboard")
"""Logs that metapix writes itself, since it has pictures to add and looks at every step."""


@dataclass(frozen=True)
class RunOptions:
    """What stays of a run on the way.

    Attributes:
        sample_every: steps between sample pictures.
        logs: any of ``"jsonl"``, ``"csv"``, ``"tensorboard"`` and ``"console"``.
        keep: how many of the last checkpoints stay.
        profile: how many steps are profiled; 0 for none.
        resume: ``True`` insists on a checkpoint to go on from, ``False`` starts anew, ``"auto"`` goes on where there is one.

    Raises:
        ValueError: for an unknown log, or a number that is too small.
    """

    sample_every: int = 25
    logs: tuple[str, ...] = ("jsonl", "csv", "tensorboard")
    keep: int = 2
    profile: int = 0
    resume: bool | str = "auto"

    def __post_init__(self) -> None:
        check_logs(self.logs)
        for name, least in (("sample_every", 1), ("keep", 1), ("profile", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def library_logs(self) -> tuple[str, ...]:
        """Those that the library's trainer writes."""
        return tuple(name for name in self.logs if name not in _IN_STEP)


USUAL = RunOptions()
"""What a run keeps where nothing else is asked for."""
