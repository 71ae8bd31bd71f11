r"""Numbers about images: how alike, how large, how sure."""
