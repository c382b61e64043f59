"""The same as ``python -m proofs feasibility``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("feasibility")
