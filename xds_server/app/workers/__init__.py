"""`serve` in several processes: a parent that knows what is to be served, and workers that serve it.

The parent reads the sources, weighs what they say, and listens to the operator. What comes of that, its
inputs (`inputs`), goes to each worker over a pair of sockets (`channel`); each makes the same snapshots of
them and serves its own streams. What a worker has to tell (`report`) goes the other way.
"""
