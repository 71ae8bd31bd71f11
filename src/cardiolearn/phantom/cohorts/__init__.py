r"""Many subjects at once, kept on disk: studies, slices, volumes and stacks, and who outlines them."""
