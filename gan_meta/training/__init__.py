"""What a training needs beside its mathematics: its folder, its logs, its checkpoints, its interruptions, its ranks."""
