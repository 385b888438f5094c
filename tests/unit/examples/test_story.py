"""What the demo concludes from what it sees."""

import sys

import pytest

from examples.demo import story
from examples.demo.__main__ import main, read_manifest
from examples.demo.board import Known
from examples.demo.training import Begun, Epoch, Finished, read_line


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("starting at epoch 1 of 60, no checkpoint found, with 2 worker(s)", Begun(0, 2)),
        ("resuming after epoch 7 of 60 from rank 1, with 3 worker(s)", Begun(7, 3)),
        ("epoch 8/60  loss 0.5  test accuracy 97.78%  world size 3  1.2 s", Epoch(8, 3)),
        ("finished: test accuracy 99.72% after 60 epochs", Finished(99.72)),
        ("W1123 torch/distributed/run.py: something else", None),
    ],
)
def test_a_line_of_the_log_is_understood(line, step):
    assert read_line(line) == step


def test_only_epochs_since_training_last_began_count():
    steps = (Begun(0, 2), Epoch(1, 2), Epoch(2, 2), Begun(2, 3), Epoch(3, 3), Epoch(4, 3))
    assert story.count_epochs(Known(steps=steps), world_size=3) == 2
    assert story.count_epochs(Known(steps=steps), world_size=2) == 0


def test_how_training_began_is_told_only_from_the_new_steps():
    before = Known(steps=(Begun(0, 2), Epoch(1, 2)))
    after = Known(steps=(*before.steps, Begun(1, 3), Epoch(2, 3)))
    assert story.begun_since(before, after) == [Begun(1, 3)]


def test_images_are_taken_from_the_prefix_that_is_given(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    assert "image: elasticjob/digits:" in read_manifest("")
    assert "image: registry.example/team/elasticjob/digits:" in read_manifest(
        "registry.example/team/"
    )


def test_a_prefix_for_images_is_refused_where_the_images_are_built(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo", "--image-prefix=registry.example"])
    with pytest.raises(SystemExit):
        main()
    assert "--image-prefix is for --cluster=current" in capsys.readouterr().err


def test_the_demo_says_from_where_it_must_be_run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["demo"])
    assert main() == 1
    assert "run this from the repository's root" in capsys.readouterr().out
