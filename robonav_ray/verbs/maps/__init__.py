"""``robonav map`` and what belongs to it."""
