"""The same as ``python -m proofs blind_cliffwalk``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("blind_cliffwalk")
