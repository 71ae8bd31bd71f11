r"""The built-in cohort: hearts in chests, scanners that picture them, and what is kept of both."""
