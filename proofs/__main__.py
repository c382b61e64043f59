"""``python -m proofs NAME [arguments]``, from the repository's root or with it on PYTHONPATH."""

import os
import sys

from proofs.common.checkout import with_proofs
from proofs.door import main

if __name__ == "__main__":
    os.environ.update(with_proofs(os.environ))  # Ray's workers and other processes of ours import proofs too
    sys.exit(main())
