r"""Networks that are taught the heart's anatomy (lesson 3)."""
