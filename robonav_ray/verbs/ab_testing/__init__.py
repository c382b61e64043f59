"""Verbs that hold a challenger against a champion: on held-out worlds (``ab``), on robots (``fleet``)."""
