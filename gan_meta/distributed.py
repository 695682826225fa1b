"""What torchrun gives us: rank, device, and the few collective operations that training needs. Only this file uses torch.distributed."""

from __future__ import annotations

import contextlib
import datetime
import faulthandler
import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from gan_meta.files import json_text
from gan_meta.heartbeat import Heartbeat

PATIENCE = datetime.timedelta(minutes=30)
"""How long a rank waits for the others; a game of one rank may be that much longer than another's."""


class OtherRankError(RuntimeError):
    """Rank 0 stopped, for a reason that it reports itself; the other ranks stop with this."""


class RanksDifferError(ValueError):
    """The processes were not started for the same training; raised on each of them before anything is trained."""


class LostRankError(RuntimeError):
    """Another process ended without a word, or cannot be reached any more; this one cannot go on without it."""


@dataclass(frozen=True)
class World:
    """The processes that train together. What they do together raises :class:`LostRankError` when one of them is gone.

    Attributes:
        rank: this process's number, from 0.
        size: how many there are.
        device: where this process computes.
        heartbeat: by which it knows that the others live; without one it waits for them as long as torch does.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    heartbeat: Heartbeat | None = field(default=None, repr=False, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files and logs."""
        return self.rank == 0

    def sum_flat(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor summed over all ranks, by one all_reduce for each dtype, of its tensors end to end; all on one device."""
        if self.size == 1 or not tensors:
            return list(tensors)
        summed = list(tensors)
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            places = [place for place, tensor in enumerate(tensors) if tensor.dtype == dtype]
            flat = torch.cat([tensors[place].detach().reshape(-1) for place in places])
            self._finish(lambda flat=flat: dist.all_reduce(flat, async_op=True))  # type: ignore[misc]
            for place, piece in zip(places, torch.split(flat, [tensors[place].numel() for place in places]), strict=True):
                summed[place] = piece.view(tensors[place].shape)
        return summed

    def gather(self, document: Any) -> list[Any]:
        """The JSON-able document of every rank, in order of rank, on every rank."""
        if self.size == 1:
            return [document]
        content = torch.frombuffer(bytearray(json_text({"document": document}).encode()), dtype=torch.uint8).to(self.device)
        lengths = [torch.zeros(1, dtype=torch.long, device=self.device) for _ in range(self.size)]
        own = torch.tensor([len(content)], device=self.device)
        self._finish(lambda: dist.all_gather(lengths, own, async_op=True))
        longest = int(torch.cat(lengths).max())
        padded = torch.zeros(longest, dtype=torch.uint8, device=self.device)
        padded[: len(content)] = content
        received = [torch.empty_like(padded) for _ in range(self.size)]
        self._finish(lambda: dist.all_gather(received, padded, async_op=True))
        return [_read(piece[: int(length)]) for piece, length in zip(received, lengths, strict=True)]

    def on_first(self, action: Callable[[], Any]) -> Any:
        """Let rank 0 act, and give its JSON-able answer to all.

        Raises:
            OtherRankError: on the other ranks, when rank 0 raised an error; rank 0 itself raises that error.
        """
        if self.size == 1:
            return action()
        if not self.is_first:
            told = self.gather(None)[0]
            if "error" in told:
                raise OtherRankError(f"rank 0 stopped: {told['error']}")
            return told["answer"]
        told = {"error": "see its own message"}
        try:
            told = {"answer": action()}
        except (OSError, ValueError) as error:
            told = {"error": str(error)}
            raise
        finally:
            self.gather(told)
        return told["answer"]

    def share(self, tensors: Mapping[str, Tensor] | None, source: int = 0) -> dict[str, Tensor]:
        """Copies of one rank's named tensors on every rank, on the CPU; the other ranks' are not looked at."""
        if self.size == 1:
            return dict(tensors or {})
        given = dict(tensors or {}) if self.rank == source else {}
        described = {name: [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)] for name, tensor in given.items()}
        shared: dict[str, Tensor] = {}
        for name, (dtype, shape) in self.gather(described)[source].items():
            empty = torch.empty(shape, dtype=getattr(torch, dtype), device=self.device)
            tensor = given[name].detach().to(self.device).contiguous() if self.rank == source else empty
            if tensor.numel():
                content = tensor.reshape(-1).view(torch.uint8)
                self._finish(lambda content=content: dist.broadcast(content, source, async_op=True))  # type: ignore[misc]
            shared[name] = tensor.cpu()
        return shared

    def _finish(self, start: Callable[[], Any]) -> None:
        """Do something with all ranks, and wait for it; no longer for one that is found to be lost."""
        try:
            work = start()
            if dist.get_backend() != "gloo":
                work.wait()
                return
            while not _is_done(work):
                sentence = None if self.heartbeat is None else self.heartbeat.sentence
                if sentence is not None:
                    raise LostRankError(f"{sentence}; {_GO_ON}")
        except LostRankError:
            raise
        except RuntimeError as error:  # torch tells which socket was closed, and not what that means
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise LostRankError(f"another process of this training has ended or cannot be reached; {_GO_ON} ({reason})") from error


ALONE = World()
_HEARTBEAT: ContextVar[Heartbeat | None] = ContextVar("heartbeat", default=None)
"""That of the connection within which this is called."""
_GO_ON = "start it again in the same way, and it goes on from its last checkpoint"
_LOOK = datetime.timedelta(seconds=1)
"""How long a process waits for the others before it looks whether they still live."""
_FAREWELL = 15
"""Seconds that a process has to end when another is lost."""


def current() -> World:
    """The processes that are connected; this one alone where none are.

    Raises:
        RuntimeError: when torchrun started several processes and they are not connected: each would train on its own.
    """
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size(), _device(dist.get_backend() == "nccl"), _HEARTBEAT.get())
    if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RuntimeError(
            f"torchrun started {os.environ['WORLD_SIZE']} processes, but they are not connected; wrap the training in "
            "`with gan_meta.distributed.connect():`"
        )
    return ALONE


@contextlib.contextmanager
def connect(device: str | None = None) -> Iterator[World]:
    """Connect the processes that torchrun started, for the length of a block; a process started by hand stays alone.

    Args:
        device: ``"cpu"``, ``"cuda"``, or one such as ``"cuda:1"``; by default a GPU of its own for each process of a node where
            there are GPUs, and the CPU otherwise. GPUs talk over NCCL, CPUs over gloo.

    Within the block each process hears whether the others live. One that is silent for 20 seconds (stopped, hung, cut off) is named in
    the log of the others, and over gloo they end with :class:`LostRankError` when it has been silent for five minutes.

    Raises:
        RuntimeError: when there are fewer GPUs than processes on this node.

    Example:
        >>> with connect() as world:
        ...     MetaTrainer(pair.to(world.device), algorithm, tasks, meta_batch_size=4).fit()
    """
    on_gpu = torch.cuda.is_available() if device is None else device.startswith("cuda")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World(device=torch.device(device or ("cuda" if on_gpu else "cpu")))
        return
    own = _device(on_gpu)
    if on_gpu:
        if own.index >= torch.cuda.device_count():
            raise RuntimeError(
                f"process {own.index} of this node has no GPU of its own: there are {torch.cuda.device_count()}; start fewer "
                "processes with --nproc-per-node, or work on the CPU"
            )
        torch.cuda.set_device(own)
    heartbeat = _join("nccl" if on_gpu else "gloo")
    known = _HEARTBEAT.set(heartbeat)
    try:
        with heartbeat:
            yield World(dist.get_rank(), dist.get_world_size(), own, heartbeat)
    finally:
        _HEARTBEAT.reset(known)
        if heartbeat.sentence is None:
            dist.destroy_process_group()
        else:
            _end_soon()


def _read(content: Tensor) -> Any:
    return json.loads(bytes(content.cpu().numpy()).decode())["document"]


def _is_done(work: Any) -> bool:
    """Whether an operation over gloo ends within a moment.

    Raises:
        RuntimeError: when it ended badly.
    """
    try:
        work.wait(_LOOK)
    except RuntimeError:
        if not work.is_completed():
            return False
        work.wait()  # it came to its end just now, or failed
    return True


def _end_soon() -> None:
    """Have the process end within some seconds: torch's threads wait for the lost one on, and the interpreter's end for them."""
    faulthandler.dump_traceback_later(_FAREWELL, exit=True, file=open(os.devnull, "w"))  # noqa: SIM115 - until the process ends


def _join(backend: str) -> Heartbeat:
    """Meet the others where the environment says, in a place of this attempt's own.

    torchrun keeps one store for all attempts, and a rank that comes back early would find there the addresses of the dead.
    """
    # Functions of this module have the group of the moment for a default argument. Imported later, as optimisers do, it would hold
    # ours past its end, and its threads into the interpreter's end, where one that wants the GIL aborts the process.
    importlib.import_module("torch.distributed.nn.functional")
    store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    attempt = f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}-of-{size}"
    apart, _, _ = next(rendezvous("env://", timeout=PATIENCE))  # a call on a store that does not answer would block others on it
    heartbeat = Heartbeat(PrefixStore(attempt, apart), rank, size)
    dist.init_process_group(backend, store=PrefixStore(attempt, store), rank=rank, world_size=size, timeout=PATIENCE)
    return heartbeat


def _device(on_gpu: bool) -> torch.device:
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
