"""The same as ``python -m proofs bench_serving``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("bench_serving")
