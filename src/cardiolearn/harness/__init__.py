r"""Finds, runs and judges the notebooks."""
