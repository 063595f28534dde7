"""How work runs on Ray: tasks with opaque ids and payloads, replicas, leases, and a ledger of commits.

Nothing here knows biology or tensors. A worker turns bytes into bytes; what they mean is for others to say.
"""
