"""Train a small convolutional network on handwritten digits with DistributedDataParallel.

    torchrun train.py                                    one worker, or as many as PET_* asks for
    torchrun --standalone --nproc-per-node=2 train.py    two workers on this machine
    python train.py                                      one process, no launcher

The data are the 1797 digits that scikit-learn ships. Every node writes a checkpoint of its own
after every epoch. When the group starts, its ranks agree on the newest checkpoint that any of them
holds, and the holder sends it to the others, so that no shared file system is needed and a worker
that has just joined, with an empty disk, goes on where its peers are.

SIGTERM keeps its default action on purpose: a handler written in Python would not run while the
process waits in a collective for a peer that is gone. A checkpoint is written beside the last one
and renamed over it, so ending at any moment costs the running epoch and nothing else.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

# DDP imports this on demand. Imported while a process group exists, it keeps the group's threads
# beyond destroy_process_group, and a process that exits beside them may abort (torch 2.15).
import torch._dynamo
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import record
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

CHECKPOINT_NAME = "checkpoint.pt"
TEST_SHARE = 0.2
WEIGHT_DECAY = 5e-4
GRADIENT_NORM_LIMIT = 5.0


# --- data ----------------------------------------------------------------------------------------


def load_data(seed: int) -> tuple[TensorDataset, TensorDataset]:
    """The digits as (images of 1x8x8 in [0, 1], labels), split the same way on every rank."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
    labels = torch.tensor(digits.target, dtype=torch.int64)
    train, test = train_test_split(
        torch.arange(len(labels)).numpy(), test_size=TEST_SHARE, random_state=seed, stratify=labels
    )
    return TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test])


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turn, scale and shift every image a little: up to 10 degrees, 10 % and one pixel."""
    count = len(images)
    uniform = torch.rand(4, count, generator=generator) * 2 - 1
    angle, scale = uniform[0] * 0.175, 1 + uniform[1] * 0.1
    shift_x, shift_y = uniform[2] / 4, uniform[3] / 4
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cos, -sin, shift_x], dim=1), torch.stack([sin, cos, shift_y], dim=1)]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


# --- model ---------------------------------------------------------------------------------------


class ResidualBlock(nn.Module):
    """Two convolutions with a short cut. GroupNorm, because it is the same at any batch size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.body(x))


def build_model(width: int) -> nn.Module:
    """A residual network on 8x8 images; `width` is its number of channels."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        ResidualBlock(width),
        nn.MaxPool2d(2),
        ResidualBlock(width),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(4 * width, 10),
    )


# --- checkpoints ---------------------------------------------------------------------------------


def write_checkpoint(path: Path, content: bytes) -> None:
    """Replace the checkpoint at `path`; a reader sees the old one or the new one."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def pack_checkpoint(state: dict[str, Any]) -> bytes:
    """The state as it is stored and sent."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def read_checkpoint(path: Path) -> tuple[bytes, int]:
    """The checkpoint at `path` as its bytes and the epochs that it has behind it.

    Nothing there is `(b"", 0)`; so is a file that cannot be read, with a warning.
    """
    try:
        content = path.read_bytes()
        return content, int(parse_checkpoint(content)["epoch"])
    except FileNotFoundError:
        return b"", 0
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        print(f"warning: ignoring the checkpoint {path}: {reason}", file=sys.stderr, flush=True)
        return b"", 0


def parse_checkpoint(content: bytes) -> dict[str, Any]:
    """What `pack_checkpoint` packed. Tensors and plain values only: nothing in it is executed."""
    state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    return state


def share_newest(content: bytes, epoch: int) -> tuple[bytes, int, int]:
    """Give every rank the newest checkpoint that any rank holds.

    Returns its bytes, its epoch and the rank that held it: the lowest of those that are equal.
    """
    epochs = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
    dist.all_gather(epochs, torch.tensor([epoch]))
    held = [int(one) for one in epochs]
    newest, holder = max(held), held.index(max(held))
    if newest == 0:
        return b"", 0, holder
    size = torch.tensor([len(content)])
    dist.broadcast(size, src=holder)
    buffer = torch.empty(int(size), dtype=torch.uint8)
    if dist.get_rank() == holder:
        buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    dist.broadcast(buffer, src=holder)
    return buffer.numpy().tobytes(), newest, holder


# --- training ------------------------------------------------------------------------------------


def train_epoch(
    model: nn.Module,
    loader: DataLoader[Any],
    optimizer: torch.optim.Optimizer,
    noise: torch.Generator,
) -> float:
    """One pass over this rank's share of the data; the mean loss over all ranks."""
    model.train()
    total = torch.zeros(2, dtype=torch.float64)
    for images, labels in loader:
        loss = F.cross_entropy(model(augment(images, noise)), labels, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM_LIMIT)
        optimizer.step()
        total += torch.tensor([loss.item() * len(labels), len(labels)], dtype=torch.float64)
    dist.all_reduce(total)
    return float(total[0] / total[1])


@torch.no_grad()
def measure_accuracy(model: nn.Module, test: TensorDataset) -> float:
    """Share of the test images that are recognised; every rank looks at its part of them."""
    model.eval()
    rank, world_size = dist.get_rank(), dist.get_world_size()
    images, labels = (tensor[rank::world_size] for tensor in test.tensors)
    right = (model(images).argmax(dim=1) == labels).sum()
    dist.all_reduce(right)
    return int(right) / len(test)


def say(line: str) -> None:
    """Print from rank 0 alone, at once."""
    if dist.get_rank() == 0:
        print(line, flush=True)


def report_progress(epoch: int, **metrics: float) -> None:
    """Say how far this process is, where somebody wants to know: an ElasticJob shows it."""
    if folder := os.environ.get("ELASTICJOB_PROGRESS_DIR"):
        new = Path(folder, f"{os.environ.get('LOCAL_RANK', '0')}.new")
        new.write_text(json.dumps({"step": epoch, "epoch": epoch, "metrics": metrics}))
        new.replace(new.with_suffix(".json"))


def restore(parts: Mapping[str, Any], options: argparse.Namespace) -> int:
    """Load the group's newest checkpoint into `parts`; the epochs that it has behind it."""
    path = options.checkpoint_dir / CHECKPOINT_NAME
    own, own_epoch = read_checkpoint(path)
    content, done, holder = share_newest(own, own_epoch)
    world = f"{dist.get_world_size()} worker(s)"
    if not content:
        say(f"starting at epoch 1 of {options.epochs}, no checkpoint found, with {world}")
        return 0
    state = parse_checkpoint(content)
    if state["width"] != options.width:
        sys.exit(
            f"the checkpoint that rank {holder} holds was made with --width {state['width']}, "
            f"not {options.width}: ask for that, or name another --checkpoint-dir"
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    if done > own_epoch and options.local_rank == 0:
        write_checkpoint(path, content)  # at once, in case that its holder does not live long
    say(f"resuming after epoch {done} of {options.epochs} from rank {holder}, with {world}")
    return done


def train(options: argparse.Namespace) -> None:
    """Train from the newest checkpoint of the group, or from nothing, to the last epoch."""
    torch.manual_seed(options.seed)
    rank, world_size = dist.get_rank(), dist.get_world_size()
    train_data, test_data = load_data(options.seed)
    sampler: DistributedSampler[Any] = DistributedSampler(train_data, seed=options.seed)
    share = max(1, options.batch_size // world_size)  # their sum stays when workers come and go
    loader = DataLoader(train_data, batch_size=share, sampler=sampler)

    model = build_model(options.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.epochs)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    done = restore(parts, options)

    replica = DistributedDataParallel(model)
    for epoch in range(done + 1, options.epochs + 1):
        started = time.monotonic()
        sampler.set_epoch(epoch)
        noise = torch.Generator().manual_seed(options.seed + 1000 * epoch + rank)
        loss = train_epoch(replica, loader, optimizer, noise)
        schedule.step()
        accuracy = measure_accuracy(model, test_data)
        if options.local_rank == 0:
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"epoch": epoch, "width": options.width}
            write_checkpoint(options.checkpoint_dir / CHECKPOINT_NAME, pack_checkpoint(state))
        report_progress(epoch, loss=loss, accuracy=accuracy)
        say(
            f"epoch {epoch}/{options.epochs}  loss {loss:.4f}  test accuracy {accuracy:.2%}  "
            f"world size {world_size}  {time.monotonic() - started:.2f} s"
        )
    accuracy = measure_accuracy(model, test_data)
    say(f"finished: test accuracy {accuracy:.2%} after {max(done, options.epochs)} epochs")


# --- the command line ----------------------------------------------------------------------------


def positive_int(text: str) -> int:
    """A whole number above zero, for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above zero, not {text!r}")
    return int(text)


def positive_float(text: str) -> float:
    """A finite number above zero, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above zero, not {text!r}")
    return value


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line and torchrun's environment; exits with a message on a bad value."""
    parser = argparse.ArgumentParser(
        description="Train a small network on handwritten digits, data-parallel on CPU.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epochs", type=positive_int, default=45, help="epochs in all")
    parser.add_argument("--batch-size", type=positive_int, default=64, help="over all workers")
    parser.add_argument("--lr", type=positive_float, default=2e-3, help="highest learning rate")
    parser.add_argument("--width", type=positive_int, default=128, help="channels, a multiple of 8")
    parser.add_argument("--seed", type=int, default=0, help="of the split and all that is random")
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=os.environ.get("OMP_NUM_THREADS") or "1",
        help="threads of each worker (environment: OMP_NUM_THREADS)",
    )
    parser.add_argument(
        "--checkpoint-dir",
        type=Path,
        default=os.environ.get("CHECKPOINT_DIR") or "checkpoints",
        help="where this node keeps its checkpoint (environment: CHECKPOINT_DIR)",
    )
    options = parser.parse_args(arguments)
    if options.width % 8:
        parser.error(f"argument --width: must be a multiple of 8, not {options.width}")
    try:
        options.checkpoint_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.checkpoint_dir).close()
    except OSError as error:
        parser.error(f"argument --checkpoint-dir: cannot write there: {error}")
    options.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    return options


def join_group() -> None:
    """Join the process group that torchrun describes; without torchrun, be a group of one."""
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    else:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


@record
def main() -> None:
    """Train as the command line says."""
    options = parse_options()
    torch.set_num_threads(options.threads)
    join_group()
    try:
        train(options)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
