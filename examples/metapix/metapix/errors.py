"""The one error that the command line turns into a line on stderr and exit code 2."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where, and what to do."""
