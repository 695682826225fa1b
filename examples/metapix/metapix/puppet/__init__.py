"""The puppet: a person from K frames in any pose, without learning; see :mod:`metapix.puppet.puppet`."""
