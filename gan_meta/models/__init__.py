"""Models by name: ``create``, ``available``, ``describe``, ``register``. Importing this package costs nothing but torch."""

from gan_meta.models.registry import available, create, describe, register

__all__ = ["available", "create", "describe", "register"]
