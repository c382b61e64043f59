"""The proofs: programs that measure, break, compare and repeat what robonav_ray promises. In the repository, and not in
the wheel.

    python -m proofs                      # which programs there are
    python -m proofs bench_worlds --json  # one of them

Each room is one kind of proof: ``chaos`` breaks a run on purpose, ``scale`` says what limits a run, ``reproduction``
repeats published results, ``peers`` races other libraries, ``bench`` measures one part each, ``studies`` look for what
decides a result. ``common`` is what they share. ``door`` names the programs. A room imports robonav_ray and ``common``,
never another room; robonav_ray never imports proofs.
"""
