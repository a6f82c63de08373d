"""The command line of every run; it ends with one of the exit codes of trainer.run.exit_codes."""

import argparse
import contextlib
import dataclasses
import json
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cgn.card import VERSION, VERSION_HELP
from cgn.errors import CgnInputError, is_host_out_of_memory
from common.memory import keep_memory
from common.settings import Paths, SettingsError, device_from_env
from trainer.run.command_line import add_run_options
from trainer.run.context import Published, RunContext, RunError, StopFlag, Stopped, write_config
from trainer.run.directories import CONFIG
from trainer.run.exit_codes import (
    BAD_OPTIONS,
    DEFECT,
    DISK_FULL,
    FAILED,
    OUT_OF_MEMORY,
    STOPPED,
    SUCCEEDED,
    disk_is_full,
)
from trainer.run.fork import fork_run
from trainer.run.options import (
    Dataclass,
    FieldError,
    add_arguments,
    command_line_options,
    config_from_dict,
    read_options,
)
from trainer.run.report import Reporter
from trainer.run.torchrun import exec_torchrun, is_main_process

C = TypeVar("C", bound=Dataclass)

CHECKPOINTS = "checkpoint-*.safetensors"  # names of the checkpoints in a run directory
Run = Callable[[C, RunContext], Published]


def run_command(
    config_class: type[C],
    run: Run[C],
    description: str,
    argv: Sequence[str] | None = None,
    program: Sequence[str] = (),
) -> int:
    """Executes a run with the options of a command line.

    Args:
        config_class: dataclass of the run's options.
        run: the function that executes the run.
        description: one sentence for ``--help``.
        argv: the options; None: the options of this process.
        program: the arguments after ``python -m`` that start this run; empty: the name of the main module.

    Returns:
        The process's exit code, see trainer.run.exit_codes.
    """
    # A module has a __spec__, but its type does not say so.
    program = program or (getattr(sys.modules["__main__"], "__spec__").name,)  # noqa: B009
    parser = _parser(config_class, description, program)
    options = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(options)
    keep_memory()
    try:
        _check_resume(arguments)
        config = _config(config_class, arguments)
        context = _context(arguments)
        if arguments.resume_from:
            fork_run(arguments.resume_from.absolute(), context.run_dir)
        exec_torchrun(config, [*program, *options], context.version, context.run_dir)
        if not arguments.resume and is_main_process():
            write_config(context.run_dir, config)
    except (FieldError, SettingsError, OSError, json.JSONDecodeError) as error:
        return _fail(error, BAD_OPTIONS)
    context.stop.install()
    reporter = context.reporter
    code, reason, published = _execute(run, config, context)
    if code == SUCCEEDED:
        reporter.result(published.model_name, published.model_version)
    elif code == STOPPED:
        python = Path(sys.executable)
        if python.is_relative_to(Path.cwd()):
            python = python.relative_to(Path.cwd())
        command = shlex.join([str(python), "-m", *program, "--resume", "--run-dir", str(context.run_dir)])
        reporter.log("stopped" if arguments.jsonl else f"stopped; to continue: {command}")
    else:
        _fail(reason, code)
    reporter.end(code)
    return code


def _execute(run: Run[C], config: C, context: RunContext) -> tuple[int, object, Published]:
    """Executes a run. Returns its exit code, the reason if it failed, and the model that it published."""
    try:
        with contextlib.closing(context.reporter):  # ends the progress bar's line before the last message
            return SUCCEEDED, "", run(config, context)
    except Stopped:
        return STOPPED, "", Published()
    except (RunError, CgnInputError) as error:
        return FAILED, error, Published()
    except Exception as error:  # a defect or a fault of the machine: the traceback, then one line
        traceback.print_exc()
        return _exit_code(error), f"{type(error).__name__}: {error}", Published()


def _exit_code(error: Exception) -> int:
    """Returns the exit code for an error that no run expects."""
    if isinstance(error, OSError) and disk_is_full(error):
        return DISK_FULL
    # A GPU raises torch.OutOfMemoryError. It is recognised by name, as torch is not imported here.
    if is_host_out_of_memory(error) or type(error).__name__ == "OutOfMemoryError":
        return OUT_OF_MEMORY
    return DEFECT


def _parser(
    config_class: type[Dataclass], description: str, program: Sequence[str]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=" ".join(["python -m", *program]), description=description, allow_abbrev=False
    )
    add_arguments(parser.add_argument_group("the run"), config_class)
    add_run_options(parser)
    return parser


def _check_resume(arguments: argparse.Namespace) -> None:
    """Takes config and version from the run to resume. Raises FieldError if there is no such run."""
    if arguments.resume_from and not (arguments.resume_from / CONFIG).is_file():
        must = f"must be the directory of a run (a folder with {CONFIG})"
        raise FieldError("--resume-from", f"{must}, {arguments.resume_from} is not")
    if arguments.resume_from:
        arguments.config = arguments.config or arguments.resume_from / CONFIG
    if not arguments.resume:
        _check_unused(arguments)
        return
    if not arguments.run_dir or not (arguments.run_dir / CONFIG).is_file():
        where = arguments.run_dir or "no directory"
        raise FieldError(
            "--resume", f"needs --run-dir with the run to continue (a folder with {CONFIG}), got {where}"
        )
    arguments.config = arguments.config or arguments.run_dir / CONFIG
    arguments.version = arguments.version or arguments.run_dir.absolute().name


def _check_unused(arguments: argparse.Namespace) -> None:
    """Raises FieldError for a run directory with checkpoints, which a new run would remove."""
    run_dir, config = arguments.run_dir, arguments.config
    if not run_dir or (config and config.absolute() == (run_dir / CONFIG).absolute()):
        return  # the directory of a job, which no other run uses
    if any(run_dir.glob(CHECKPOINTS)):
        raise FieldError(
            "--run-dir",
            f"{run_dir} has checkpoints of a run; continue that run with --resume, or choose another one",
        )


def _config(config_class: type[C], arguments: argparse.Namespace) -> C:
    values: dict[str, Any] = {}
    if arguments.config:
        values = json.loads(arguments.config.read_text())
        if not isinstance(values, dict):
            raise FieldError("--config", f"must be a file with a JSON object, {arguments.config} is not")
        values = read_options(config_class, values)
    names = [field.name for field in dataclasses.fields(config_class)]
    return config_from_dict(config_class, {**values, **command_line_options(names, arguments)})


def _context(arguments: argparse.Namespace) -> RunContext:
    paths = Paths.from_env()
    version = arguments.version or time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    if not VERSION.fullmatch(version):
        raise FieldError("--version", f"must be {VERSION_HELP}, is {version!r}")
    run_dir = (arguments.run_dir or paths.runs_dir / version).absolute()
    models_dir = (arguments.models_dir or paths.models_dir).absolute()
    if not arguments.config or arguments.config.parent != run_dir:
        # If the directory holds the config, it exists already, unless another attempt has taken over the run.
        run_dir.mkdir(parents=True, exist_ok=True)
    reporter = Reporter(run_dir, models_dir, jsonl=arguments.jsonl, silent=not is_main_process())
    device = device_from_env()
    resume = arguments.resume or bool(arguments.resume_from)
    return RunContext(run_dir, models_dir, device, version, resume, reporter, StopFlag(), run_dir.name)


def _fail(reason: object, code: int) -> int:
    print("error:", " ".join(str(reason).split()), file=sys.stderr)
    return code
