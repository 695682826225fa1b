"""The `metapix` command."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.logging import RichHandler

from metapix.commands.people import COMMANDS
from metapix.commands.prepare import download, prepare
from metapix.commands.reproduce import reproduce
from metapix.commands.start import train_start
from metapix.commands.training import meta_train, pretrain, status
from metapix.errors import Ended, InputError
from metapix.workers import unwinding_when_told_to_end

app = typer.Typer(
    help="MetaPix: five frames of a person, a driving video, and that person doing those moves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""
_TERMINATED = 143
"""128 + SIGTERM."""
_MMAP_THRESHOLD, _LARGE = -3, 4 * 2**20
"""Of glibc's malloc.h; and bytes: pictures of full HD have more."""

RunFolder = Annotated[Path, typer.Option("--out", help="Where results go; a second run reuses what is there.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same result.")]


@app.callback()
def _common(verbose: Annotated[bool, typer.Option("--verbose", help="Say more while working.")] = False) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", handlers=[RichHandler(show_path=False)])


@app.command()
def demo(
    out: RunFolder = Path("runs/demo"),
    model: Annotated[
        str, typer.Option("--model", help="'pix2pixhd', 'posewarp' or 'both': what is trained on drawn people; both take longer.")
    ] = "pix2pixhd",
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Processes at work at once, one thread each.")] = 2,
) -> None:
    """The whole story in a few minutes: train on drawn people, score on unseen ones, bring a real person to life."""
    from metapix.demo import run_demo, settings_for
    from metapix.demo.table import print_results

    print_results(run_demo(settings_for(model, seed), out, workers), out)


app.command()(prepare)
app.command()(download)
app.command()(pretrain)
app.command("meta-train")(meta_train)
app.command()(status)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A folder with a results.json.")]) -> None:
    """Write report.html anew from a run's results."""
    from metapix.report import build_report

    typer.echo(f"report: {build_report(run)}")


for command in (*COMMANDS, train_start, reproduce):
    app.command()(command)


def _errors_of_gan_meta() -> tuple[type[Exception], ...]:
    """Looked up when there is an error, so that --help need not wait for torch."""
    from gan_meta import CheckpointError, NonFiniteLossError

    return CheckpointError, NonFiniteLossError


def _refuse(problem: object) -> NoReturn:
    if str(problem):  # without any command, help was shown
        sys.stderr.write(f"metapix: {' '.join(str(problem).split())}\n")
    raise SystemExit(2) from None


def _interrupted() -> NoReturn:
    sys.stderr.write("metapix: interrupted; finished stages are kept, run the same command again to go on\n")
    raise SystemExit(_INTERRUPTED)


def _refuse_for_memory(error: BaseException) -> None:
    if isinstance(error, ImportError) and ("failed to map segment" in str(error) or "annot allocate memory" in str(error)):
        # Nothing that needs torch can be asked for help now.
        _refuse(f"memory ran out while libraries were loaded ({error}); raise the limit on address space (ulimit -v), they take some 4 GiB")
    from gan_meta.memory import memory_problem

    problem = memory_problem(error)
    if problem is not None:
        _refuse(problem)


def give_back_large_buffers() -> None:
    """Let the system have memory of whole pictures back as soon as it is free, where malloc is glibc's.

    Left to itself it keeps such pieces for later, for each of FFmpeg's and mediapipe's threads: 200 MB for video of 1920 x 1080.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system's
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)


def main() -> None:
    """Run the command line: exit code 2 and one line on stderr for wrong usage or input that cannot be used, 130 after Ctrl-C, 143 after
    SIGTERM.

    A training that SIGTERM asked to stop saves its state and ends with 0, and a line too.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    give_back_large_buffers()
    try:
        with unwinding_when_told_to_end(_TERMINATED):
            raise SystemExit(app(standalone_mode=False))
    except (KeyboardInterrupt, typer.Abort):
        _interrupted()
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # typer's answer to Ctrl-C, without a word
            _interrupted()
        if end.code == _TERMINATED:
            sys.stderr.write("metapix: told to end; finished stages are kept, run the same command again to go on\n")
        raise
    except Ended as end:
        if str(end):
            sys.stderr.write(f"metapix: {end}\n")
        raise SystemExit(end.exit_code) from None
    except InputError as error:
        _refuse(error)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's, for wrong usage
            _refuse(error.format_message())
        _refuse_for_memory(error)
        if isinstance(error, (OSError, *_errors_of_gan_meta())):
            _refuse(error)
        raise
