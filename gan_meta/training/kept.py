"""What a joint training keeps from iteration to iteration outside of weights and buffers, and so in no checkpoint."""

from __future__ import annotations

import torch

from gan_meta.contents import is_same
from gan_meta.game.copies import Loose, changed_attributes, put_loose, take_loose
from gan_meta.game.table import Table, put_buffers


def kept_elsewhere(table: Table, position: int, start: Loose) -> list[str]:
    """The attributes of modules and of the objective that a training from here would find otherwise, began they as they did at the start.

    What an iteration leaves in them must depend on what was there before it: what is merely kept of the last batch does not. Nothing
    moves by the question.

    Args:
        table: the game's, its weights as they stand.
        position: that of an iteration to come, which is asked for from either state.
        start: the attributes as they were when the training began.
    """
    pair, here = table.pair, take_loose(table.pair, table.objective)
    buffers = {name: buffer.detach().clone() for name, buffer in pair.named_buffers()}
    left, logs = [], []
    for begin in (here, start, here):
        table.objective = put_loose(pair, begin)
        with torch.enable_grad(), table.iteration(position):
            logs.append([table.losses(turn, position).logs for turn in table.turns])
        left.append(take_loose(pair, table.objective))
        put_buffers(pair, buffers)
    table.objective = put_loose(pair, here)
    changed = changed_attributes(pair, *left[1:])
    return changed if changed or is_same(logs[0], logs[2]) else ["a variable of a class, a module or a function that the losses use"]
