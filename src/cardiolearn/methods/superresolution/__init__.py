r"""Lesson 2: thin slices from thick ones."""
