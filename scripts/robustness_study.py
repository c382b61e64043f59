"""The same as ``python -m proofs robustness_study``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("robustness_study")
