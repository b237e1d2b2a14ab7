"""The command line as a user has it: the console script that the set-up installed."""

import sys
from pathlib import Path

LOWTIDE = str(Path(sys.executable).with_name("lowtide"))
