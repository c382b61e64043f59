"""The same as ``python -m proofs promises``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("promises")
