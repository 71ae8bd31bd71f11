r"""Learners' notebooks used in a real browser: run, exercises answered, widgets moved, guesses made, quizzes answered.

`make test` does this with one lesson, `make browser` with all.
"""
