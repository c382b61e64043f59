"""The same as ``python -m proofs chaos``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("chaos")
