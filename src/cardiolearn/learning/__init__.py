r"""Training of any network: the loop, its state, experiments, weights, and the device."""
