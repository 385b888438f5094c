"""Nodes that exist on paper: a scheduler puts pods on them, and nothing runs there."""

import uuid

SLOT = "example.com/slot"
"""What a node of these has a number of, and each pod takes one of."""


def template(**spec):
    """Return a pod template that takes one slot."""
    one = {"requests": {SLOT: 1}, "limits": {SLOT: 1}}
    trainer = {"name": "trainer", "image": "trainer:1", "resources": one}
    return {"spec": {"containers": [trainer], "terminationGracePeriodSeconds": 0, **spec}}


class PaperNodes:
    """Makes nodes, each in the words of `kubectl`, and removes them."""

    def __init__(self, kubectl):
        self._kubectl, self._names = kubectl, []

    def add(self, slots, **labels):
        """Add a node with so many slots; return its name."""
        name = f"paper-{uuid.uuid4().hex[:8]}"
        labels = {"kubernetes.io/hostname": name, **labels}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        self._kubectl.create(node)
        self._names.append(name)
        room = {SLOT: str(slots), "cpu": "8", "memory": "8Gi", "pods": "100"}
        ready = {"type": "Ready", "status": "True", "reason": "Told", "message": "it is ready"}
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        self._kubectl.patch_status("node", name, status)
        # Every new node is tainted until a controller finds it ready.
        self._kubectl("taint", "node", name, "node.kubernetes.io/not-ready-")
        return name

    def remove(self):
        for name in self._names:
            self._kubectl("delete", "node", name, "--ignore-not-found")
