import sys

from lowtide.cli.main import main

sys.exit(main())
