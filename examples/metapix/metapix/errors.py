"""The errors that the command line turns into one line on stderr and an exit code."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where, and what to do."""


class Ended(Exception):
    """A command ends before its end, in order: it was asked to stop, or another process has failed.

    Attributes:
        exit_code: what the command ends with; the message, if there is one, goes to stderr.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
