"""As ``ours``, in one process without Ray."""

from proofs.peers.ours import main

if __name__ == "__main__":
    main("--local")
