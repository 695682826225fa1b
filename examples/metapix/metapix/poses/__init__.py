"""Poses: the skeleton, how a generator is told of one, and how one person's becomes another's."""
