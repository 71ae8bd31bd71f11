r"""Lesson 2: following the heart."""
