r"""A subject's heart and trunk as functions of place and time."""
