"""check(): try a pair, an objective and a task before training with them; see :func:`gan_meta.checking.check.check`."""
