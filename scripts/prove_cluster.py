"""The same as ``python -m proofs prove_cluster``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("prove_cluster")
