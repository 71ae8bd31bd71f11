r"""The one exception for input a user can correct."""

from __future__ import annotations


class InputError(ValueError):
    r"""A file or argument the user gave cannot be used.

    The message is one line: what was given, what was expected, what came. The command line prints it and exits with 2.
    """
