from toto_jax.training.task import Batch, Metrics, Task  # noqa: F401
