"""The protocol over etcd v3: a lease for each member, transactions for the leader, watches for all.

A follower watches four keys: the round record, its own place in it, its own record, and that of its
predecessor, the member with the next older record. Only who has none, the leader, watches the whole
run. So a change costs each member a bounded number of bytes, however many members there are.

What outlives the members, the round and how members left, stands under a lease of the run: so an
etcd that many runs share does not fill up. Whoever leads keeps it alive.
"""

from rdzv_client.backends.etcd.backend import EtcdBackend

__all__ = ["EtcdBackend"]
