"""For all tests in one process: what must be imported before anything else."""

# Feast switches it to numbers in files, shared by all that is made in a process, if it
# comes first. A collector never imports Feast; a process of all tests does.
import prometheus_client  # noqa: F401
