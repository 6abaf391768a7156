"""`python -m fg_cli VERB …`, the same as `forgather VERB …`."""

import sys

from fg_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
