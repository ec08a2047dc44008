"""`python -m buril`: the command line, for launchers that start a module (`torchrun -m buril run`)."""

import sys

from buril.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
