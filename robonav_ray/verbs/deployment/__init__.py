"""The verbs about robots: a run as a bundle."""
