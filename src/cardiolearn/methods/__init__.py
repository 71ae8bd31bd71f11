r"""The lecture's methods, a package each; none imports another."""
