r"""Everything that is shown."""
