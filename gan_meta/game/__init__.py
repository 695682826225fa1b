"""The game: what is played inside a task, by an ordinary optimiser or as a differentiable function."""
