"""The same as ``python -m proofs everett_study``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("everett_study")
