r"""The exception for input a user can correct, and the warning for input that was read with a choice."""

from __future__ import annotations


class InputError(ValueError):
    r"""A file or argument the user gave cannot be used.

    The message is one line: what was given, what was expected, what came. The command line prints it and exits with 2.
    """


class InputWarning(UserWarning):
    r"""A file said two things, or something unusual, and its reader chose: one line that names file and choice."""


class Unfinished(Exception):  # noqa: N818 - no error: the work is kept, and the same command goes on with it
    r"""Long work paused because its time is up; the message says how far it is."""
