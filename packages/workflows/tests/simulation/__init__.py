"""A deterministic simulation of workers, queue, clock and storage: one thread, one seed, every choice drawn from it.

`scheduler` decides who goes on at each point and what happens to him there; `storage` is MemoryStorage with a point at
every statement and every commit; `workload` has the workflows and the people who disturb them; `invariants` has what
must hold after every commit and at the end. A seed is a whole run: the same seed gives the same trace.
"""
