"""What holds for all tests."""

import os

# torch looks up the name of every peer. On a machine whose DNS does not answer that takes 5 s each
# time, unless the resolver is told to give up sooner; it reads this once, before the first look-up.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")
