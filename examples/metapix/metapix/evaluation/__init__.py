"""The evaluation suite: cells of the paper's tables and figures, scored once each, kept, and put together with intervals."""
