"""Models by name: versions that never change, aliases that move, a journal of every move; no Ray, no torch.

Consumes: a run or a checkpoint, by its directory or URI.
Produces: versions that every verb takes as ``NAME@champion`` or ``NAME@3``, and entries of the journal.
Waits for: other writers of the same model, one at a time (``files/place_lock.py``).

::

    MODELS/registry.json                          marks the folder as a registry
    MODELS/NAME/versions/3/                       see runs/stored_models.py; the manifest is written last
    MODELS/NAME/journal/000000000012.json         entry 12, with the hash of entry 11 and all aliases after it
    MODELS/NAME/evidence/SHA256                   what an entry points at, such as the page of an A/B test
    MODELS/NAME/evaluations/3/TIMESTAMP/          what `robonav evaluate NAME@3` found
    MODELS/NAME/.lock                             held by the process that writes

The newest entry of the journal is the truth: it holds all aliases, so a writer that is killed leaves the old aliases
or the new ones. What others build on::

    registry = Registry("runs/models")            a folder or a bucket (default_place() is where the commands look)
    version = registry.add("runs/curriculum-20261122-181500", "robot_nav")
    version = registry.version("robot_nav", "champion")             # or 3, "3", "robot_nav@3"
    alias = registry.aliases("robot_nav").get("champion")           # Alias(version, generation), or None
    registry.set_alias("robot_nav", "champion", 3, expected_generation=alias.generation, reason="...", evidence=b"...")
    registry.note("robot_nav", "ab_test", "refused: collisions", facts={...}, evidence=page)    # an entry of one's own
    registry.journal("robot_nav")                                   # list[JournalEntry], the oldest first

A mirror (``mirror.py``) hears of each new version and each alias that has moved.
"""
