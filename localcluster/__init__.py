"""A real Kubernetes on one Linux machine, built from Go modules, without Docker or a registry.

Every program is compiled from the versions that `go.mod` names, and every machine of the cluster
is a set of Linux namespaces with a process of its own as PID 1: its network, mounts and processes
are private, so ending that one process ends the machine as pulling the plug would, and a cluster
leaves nothing behind. Run `python -m localcluster --help`.
"""
