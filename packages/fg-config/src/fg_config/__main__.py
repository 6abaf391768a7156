"""`python -m fg_config VERB …`."""

import sys

from fg_config import commands
from fg_config.command_line import main

if __name__ == "__main__":
    sys.exit(main(commands, prog="python -m fg_config"))
