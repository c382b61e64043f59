"""The same as ``python -m proofs reproduce``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("reproduce")
