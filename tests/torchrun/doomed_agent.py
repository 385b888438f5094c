"""A torchrun whose agent dies the moment it would give its workers ranks, having joined a round."""

import os
import signal

from torch.distributed.elastic.agent.server import api
from torch.distributed.run import main


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


api.SimpleElasticAgent._assign_worker_ranks = die

if __name__ == "__main__":
    main()
