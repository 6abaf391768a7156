"""`python -m fg_tls VERB …`."""

import sys

from fg_config.command_line import main
from fg_tls import commands

if __name__ == "__main__":
    sys.exit(main(commands, prog="python -m fg_tls"))
