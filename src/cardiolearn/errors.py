r"""The one exception for input a user can correct, and the one warning about it."""

from __future__ import annotations


class InputError(ValueError):
    r"""A file or argument the user gave cannot be used.

    The message is one line: what was given, what was expected, what came. The command line prints it and exits with 2.
    """


class InputWarning(UserWarning):
    r"""A file said two things, or something unusual, and the reader chose: one line that names the file and the choice."""  # noqa: E501
