r"""Lesson 1: outlining the heart."""
