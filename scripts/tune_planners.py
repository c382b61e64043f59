"""The same as ``python -m proofs tune_planners``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("tune_planners")
