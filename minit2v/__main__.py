"""`python -m minit2v …` is the same as `minit2v …`."""

import sys

from minit2v.cli import main

if __name__ == "__main__":
    sys.exit(main())
