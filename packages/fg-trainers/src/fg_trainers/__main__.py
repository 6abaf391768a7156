"""`python -m fg_trainers VERB …`."""

import sys

from fg_config.command_line import main
from fg_trainers import commands

if __name__ == "__main__":
    sys.exit(main(commands, sys.argv[1:], prog="python -m fg_trainers"))
