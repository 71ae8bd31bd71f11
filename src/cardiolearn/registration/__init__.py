r"""Bringing images of one heart into each other's place."""
