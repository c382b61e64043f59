"""The same as ``python -m proofs study_policy``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("study_policy")
