r"""What a scanner makes of a subject."""
