"""Makes plans: builds a config's experiment on a machine's devices, compiles its step, and does the arithmetic."""

import copy
import dataclasses
import functools
import math
import pathlib
from typing import Any

import ml_collections

from toto_jax.errors import ConfigError
from toto_jax.experiment import Experiment, build
from toto_jax.models.config import DecoderConfig
from toto_jax.models.counts import flops_per_token, matmul_parameter_count
from toto_jax.planning.compiling import Compiled, compile_step
from toto_jax.planning.expected import expected_collectives
from toto_jax.planning.memory import (
    Memory,
    Residuals,
    compiled_memory,
    estimate_memory,
    largest_unsharded,
    sequences_per_device,
    trace_residuals,
)
from toto_jax.planning.network import Network
from toto_jax.planning.plan import Plan
from toto_jax.planning.roofline import computed_flops_per_token, memory_traffic, roofline
from toto_jax.planning.topologies import Machine
from toto_jax.settings import parse
from toto_jax.tasks.sequence import SequenceTask
from toto_jax.tree import count

# Of the memory that a chip has, what a plan without the compiler may use: an estimate errs.
MARGIN = 0.9


class Planner:
    """Plans for one config, which share what doesn't depend on the layout.

    Args:
      config: with the keys of configs/default.py; its own mesh, remat and microbatches are where plans start from.
      machine: where it would run.
      devices: of the machine, from `planned_devices`.

    Raises:
      ConfigError: for a task whose FLOPs have no closed form here.
    """

    def __init__(self, config: ml_collections.ConfigDict, machine: Machine, devices: Any):
        self.config = on_slices(config, machine)
        self.machine = machine
        self.devices = devices
        self._traced: dict[str, Residuals] = {}
        if self.config.task == "tokenizer":
            raise ConfigError(
                "The dry run plans transformers: config.task='next_token', 'patch_to_patch' or 'patch_to_code', got "
                f"{self.config.task!r}"
            )

    def build(self, changes: dict[str, Any]) -> Experiment:
        """Returns the experiment of the config with some keys (`model.remat`) changed.

        Raises:
          ConfigError: if the layout can't be.
        """
        return build(changed(self.config, changes), pathlib.Path("."), devices=self.devices)

    def plan(self, changes: dict[str, Any] | None = None, compiled: bool = False) -> Plan:
        """Returns the plan of the config with some keys changed.

        Args:
          changes: dotted key -> value.
          compiled: whether to ask the TPU compiler, which takes minutes for a large model.

        Raises:
          ConfigError: if the layout can't be.
        """
        changes = dict(changes or {})
        remat = parse(changed(self.config, changes)).model["remat"]
        program = compile_step(self.build(changes)) if compiled else None
        # The remat policy has no part in the layout, so that plans which differ in it share one.
        layout = {key: value for key, value in changes.items() if key != "model.remat"}
        experiment = self._layout(tuple(layout.items()))
        estimate = estimate_memory(experiment, self._residuals(remat, layout), remat)
        model = dataclasses.replace(experiment.task.decoder.config, remat=remat)
        return self._assemble(experiment, model, estimate, program)

    @functools.cache  # noqa: B019 - a planner lives as long as its plans
    def _layout(self, changes: tuple[tuple[str, Any], ...]) -> Experiment:
        return self.build(dict(changes))

    def _assemble(
        self, experiment: Experiment, model: DecoderConfig, memory: Memory, program: Compiled | None
    ) -> Plan:
        settings, mesh, machine = experiment.settings, experiment.mesh, self.machine
        train = settings.train
        task: SequenceTask = experiment.task
        head, inputs, context = task.outputs, task.inputs, task.context
        # The embedding of patches is a product as the head is: estimates take them for one.
        ends = head + inputs
        tokens = train.batch_size * context
        local = tokens / machine.chips
        fits = memory.total <= MARGIN * machine.chip.memory
        collectives = expected_collectives(model, ends, mesh, local / train.microbatches, train.microbatches)
        needed_wire = math.fsum(one.total_wire for one in collectives)
        if program is not None:
            fits = program.stats is not None
            if fits:
                memory = compiled_memory(program.stats, memory)
                collectives = list(program.collectives)
        flops = computed_flops_per_token(model, ends, context, machine.chip) * local
        weights = 2 * matmul_parameter_count(model, ends) / mesh.shape.get("tensor", 1)
        state = memory.parameters + memory.optimizer
        traffic = memory_traffic(model, ends, local, state, weights, train.microbatches)
        return Plan(
            name=settings.name,
            machine=machine,
            mesh=dict(mesh.shape),
            remat=model.remat,
            microbatches=train.microbatches,
            batch_size=train.batch_size,
            sequences=sequences_per_device(experiment),
            params=count(experiment.trainer.abstract_state.params),
            context=context,
            flops_per_token=flops_per_token(model, head, context, inputs=inputs),
            flops_per_token_full=flops_per_token(model, head, context, causal=False, inputs=inputs),
            tokens=tokens,
            memory=memory,
            fits=fits,
            collectives=tuple(collectives),
            needed_wire=needed_wire,
            unsharded=tuple(largest_unsharded(experiment)),
            roofline=roofline(flops, traffic, collectives, Network(machine, mesh)),
            compiled=program,
        )

    def _residuals(self, remat: str, layout: dict[str, Any]) -> Residuals:
        # They are of one sequence, so any layout that can be gives the same.
        if remat not in self._traced:
            experiment = self.build({**layout, "model.remat": remat})
            unsaved = self.build({**layout, "model.remat": "none"})
            model = experiment.settings.model
            params = experiment.trainer.abstract_state.params
            self._traced[remat] = trace_residuals(
                experiment.task, unsaved.task, params, model["d_model"], model["layers"]
            )
        return self._traced[remat]


def changed(config: ml_collections.ConfigDict, changes: dict[str, Any]) -> ml_collections.ConfigDict:
    """Returns a copy of a config with some dotted keys set."""
    copied = copy.deepcopy(config)
    with copied.unlocked():
        copied.update_from_flattened_dict(changes)
    return copied


def on_slices(config: ml_collections.ConfigDict, machine: Machine) -> ml_collections.ConfigDict:
    """Returns the config with its mesh laid over the machine's slices, unless it says itself how.

    The slow outer axis takes the slices.

    Raises:
      ConfigError: if the config's own axis is of another size than the machine.
    """
    if machine.chip.platform == "gpu" or machine.slices == 1:
        return config
    given = config.mesh.slices
    if given in (-1, machine.slices):
        return config
    if given != 1:
        raise ConfigError(
            f"config.mesh.slices={given}, but the machine is {machine.name}; 1 or -1 would follow it"
        )
    return changed(config, {"mesh.slices": machine.slices})
