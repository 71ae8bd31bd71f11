r"""Decision forests whose nodes ask what they are told to: edges of structures, landmarks, pose (lesson 5)."""
