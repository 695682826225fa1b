"""Training starts of one's own: presets, data, logs, and the two stages, pretraining and meta-training."""
