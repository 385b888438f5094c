"""``python -m elasticjob_operator.cli``."""

import sys

from elasticjob_operator.cli import main

sys.exit(main())
