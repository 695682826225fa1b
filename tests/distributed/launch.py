"""Starting tests/distributed/train.py, by torchrun or by hand, and reading what it leaves."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from gan_meta.checkpoint import load_tensors

ROOT = Path(__file__).parents[2]

# A server that has imported torch already forks a process in no time; torchrun starts anew each time.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.distributed.train", "torch._dynamo"])


def torchrun(folder: Path, ranks: int, cases: list[dict[str, Any]], restarts: int = 0) -> None:
    """Run the cases under torchrun, to a good end."""
    file = folder / "cases.json"
    file.write_text(json.dumps(cases))
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "--max-restarts", str(restarts)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _path()}
    command = [sys.executable, "-m", *launcher, "-m", "tests.distributed.train", str(file)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def start(ranks: int, cases: list[dict[str, Any]]) -> list[BaseProcess]:
    """Real processes with the environment that torchrun would give them."""
    port = _free_port()
    processes = [_CONTEXT.Process(target=_child, args=(rank, ranks, port, cases)) for rank in range(ranks)]
    with mock.patch.dict(os.environ, PYTHONPATH=_path()):  # the server is started with the first process
        for process in processes:
            process.start()
    return processes


def start_command(ranks: int, arguments: list[str], folder: Path) -> list[BaseProcess]:
    """The `metapix` command as :func:`start` starts processes; each one's stderr goes to ``folder/RANK.err``."""
    port = _free_port()
    processes = [_CONTEXT.Process(target=_command, args=(rank, ranks, port, arguments, folder)) for rank in range(ranks)]
    with mock.patch.dict(os.environ, PYTHONPATH=_path()):
        for process in processes:
            process.start()
    return processes


def finish(processes: list[BaseProcess]) -> list[int | None]:
    """Their exit codes."""
    for process in processes:
        process.join(100)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def weights(case: dict[str, Any], rank: int = 0) -> dict[str, torch.Tensor]:
    """What a rank had at the end of a case."""
    return load_tensors(f"{case['out']}-{rank}.safetensors")[0]


def message(case: dict[str, Any], rank: int = 0) -> str:
    """How a case ended on a rank, if not well."""
    return Path(f"{case['out']}-{rank}.txt").read_text()


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest, over all weights and buffers."""
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def _path() -> str:
    return f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _place(rank: int, ranks: int, port: int) -> None:
    """What torchrun puts into the environment."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))


def _command(rank: int, ranks: int, port: int, arguments: list[str], folder: Path) -> None:
    _place(rank, ranks, port)
    torch.set_num_threads(1)
    with (folder / f"{rank}.err").open("w") as file:
        os.dup2(file.fileno(), 2)
    from metapix.cli import main

    sys.argv = ["metapix", *arguments]
    main()


def _child(rank: int, ranks: int, port: int, cases: list[dict[str, Any]]) -> None:
    _place(rank, ranks, port)
    from tests.distributed.train import run

    raise SystemExit(run(cases))
