r"""What an image, a scan and a study are."""
