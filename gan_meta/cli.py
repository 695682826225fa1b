"""The `gan-meta` command: what there is, and what a file holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="Meta-learning for GANs.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command("list")
def list_names() -> None:
    """List the algorithms and models that can be made by name."""
    from gan_meta import algorithms, models

    table = Table("kind", "name")
    for kind, names in (("algorithm", algorithms.available()), ("model", models.available())):
        for name in names:
            table.add_row(kind, name)
    Console().print(table)


@app.command()
def inspect(file: Annotated[Path, typer.Argument(help="A .safetensors file saved by gan-meta.")]) -> None:
    """Show a file's model, arguments and facts, and the number of its weights."""
    from gan_meta.checkpoint import load_tensors

    tensors, document = load_tensors(file)
    weights = sum(tensor.numel() for tensor in tensors.values())
    console = Console()
    facts = f"{file}: {len(tensors)} tensors, {weights:,} values, {file.stat().st_size / 1e6:.1f} MB"
    console.print(facts, markup=False, soft_wrap=True)
    console.print_json(json.dumps(document))


def main() -> None:
    """Run the command line: exit code 2 and one line on stderr for a file that cannot be used."""
    from gan_meta.checkpoint import CheckpointError

    try:
        app()
    except (CheckpointError, OSError) as error:
        sys.stderr.write(f"gan-meta: {' '.join(str(error).split())}\n")
        raise SystemExit(2) from None
