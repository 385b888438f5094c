"""torchrun that knows the rendezvous backends k8s, etcd-v3 and c10d-v2, plug-ins or not.

    python -m rdzv_client.run --rdzv-backend=etcd-v3 ... train.py ...

does what `torchrun --rdzv-backend=etcd-v3 ... train.py ...` does, with the same arguments. From
torch 2.6 on torchrun finds these backends by itself where elasticjob is installed. This command is
for torch 2.4 and 2.5, which have no plug-ins, and for where the package lies on PYTHONPATH alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rdzv_client import plugins


def main(arguments: Sequence[str] | None = None) -> None:
    """Register the backends in torch's registry, and run torchrun.

    Args:
        arguments: torchrun's; those of this process if None.

    Raises:
        SystemExit: there is no torch that can run them, or torchrun ends so.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in (["-h"], ["--help"]):
        print(f"{__doc__}\nThe arguments, which are torchrun's:\n", flush=True)  # noqa: T201
    _register()
    from torch.distributed import run  # noqa: PLC0415

    run.main(words)


def _register() -> None:
    registry = _torch_registry()
    for name, creator in plugins.CREATORS.items():
        try:
            registry.register(name, creator)
        except ValueError as error:
            raise SystemExit(f"another package has taken the name {name!r}: {error}") from None


def _torch_registry() -> Any:
    try:
        from torch.distributed.elastic.rendezvous import api  # noqa: PLC0415
    except ImportError as error:
        raise SystemExit(f"rdzv_client.run starts torchrun, which needs torch: {error}") from None
    if not hasattr(api, "RendezvousInfo"):
        raise SystemExit("rdzv_client.run needs torch 2.4 or newer; this one is older")
    return api.rendezvous_handler_registry


if __name__ == "__main__":
    main()
