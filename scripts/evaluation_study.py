"""The same as ``python -m proofs evaluation_study``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("evaluation_study")
