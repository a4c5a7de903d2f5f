"""The border to user code: it is called here, and whatever it does comes back as a value or as `StepRaised`."""

import asyncio
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from pydantic import BaseModel, ValidationError

from automation.workflows.authoring.context import scope_variable
from automation.workflows.authoring.contexts import dump, load, problems
from automation.workflows.authoring.definitions import StepDefinition, WorkflowDefinition
from automation.workflows.authoring.payloads import JsonObject, check_json
from automation.workflows.authoring.results import Children, Complete, Fail, Goto, Sleep, StepResult, Wait
from automation.workflows.authoring.targets import unknown_step
from automation.workflows.engine.errors_text import bounded, summarise
from automation.workflows.engine.faults import fault
from automation.workflows.engine.making import new_children
from automation.workflows.engine.runtime import Runtime
from automation.workflows.engine.scope import Scope
from automation.workflows.errors import ContextError, DefinitionError, ProgrammingError, StepTimedOut, WorkflowError
from automation.workflows.runs.values import Run

__all__ = ["Outcome", "StepRaised", "invoke"]

logger = logging.getLogger("automation.workflows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step returned, and its Context as data."""

    result: StepResult
    data: JsonObject
    children: tuple[Run, ...] = ()
    """The runs that it asked for, made and not yet stored."""


class StepRaised(Exception):
    """An attempt ended in an exception. Carries it through the transaction that it must roll back."""

    def __init__(self, error: BaseException, data: JsonObject | None, *, final: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.data = data
        """The Context to keep; None: as it was stored."""
        self.final = final
        """No retry can mend it."""


def invoke(runtime: Runtime, definition: WorkflowDefinition, scope: Scope) -> Outcome:
    """Run one attempt of a step. Raises StepRaised and nothing else."""
    fault("step.before_body")
    # All of the author's code runs inside the scope: validators and create_context of children too.
    token = scope_variable.set(scope)
    try:
        result = _call(definition, scope)
        fault("step.after_body")
        _check_time(runtime, scope)
        return _outcome(runtime, definition, scope, result)
    except (ProgrammingError, DefinitionError) as error:
        raise StepRaised(error, _kept(runtime, scope), final=True) from error
    except Exception as error:
        raise StepRaised(error, _kept(runtime, scope)) from error
    except BaseException as error:
        # SystemExit, KeyboardInterrupt and a queue's timeout end this attempt too; they are recorded, then passed on.
        if not _is_from_user_code(error):
            raise
        raise StepRaised(error, _kept(runtime, scope)) from error
    finally:
        scope_variable.reset(token)


def _call(definition: WorkflowDefinition, scope: Scope) -> Any:
    """Call the step on a fresh instance, and take the Context that it has in the end: a step may have replaced it."""
    instance = definition.cls()
    instance.context = scope.context
    try:
        return _runner(scope.step)(instance)
    finally:
        scope.context = _context_of(definition, scope.step, instance)


def _context_of(definition: WorkflowDefinition, step: StepDefinition, instance: Any) -> BaseModel:
    if isinstance(instance.context, definition.context):
        return instance.context
    raise ProgrammingError(
        f"Step {step.name!r} of workflow {definition.name!r} set self.context to a {type(instance.context).__name__}. "
        "Change its fields, or set it to another Context(...)."
    )


def _runner(step: StepDefinition) -> Callable[[Any], Any]:
    if not step.is_async:
        return step.function

    async def run(instance: Any) -> Any:
        limit = asyncio.timeout(None if step.timeout is None else step.timeout.total_seconds())
        try:
            async with limit:
                return await step.function(instance)
        except TimeoutError as error:
            if not limit.expired():
                # The step's own, of a call that it made.
                raise
            raise StepTimedOut(f"Step {step.name!r} was cancelled after its timeout of {step.timeout}.") from error

    # On this thread, so that the step's ORM calls share the connection and its transaction.
    return async_to_sync(run)


def _check_time(runtime: Runtime, scope: Scope) -> None:
    took = runtime.now() - scope.started_at
    step = scope.step
    if step.timeout is not None and took > step.timeout:
        raise StepTimedOut(f"Step {step.name!r} took {took}, longer than its timeout of {step.timeout}.")
    if step.atomic and took > runtime.policy.slow_step:
        logger.warning(
            "Step %r held its transaction for %s. On SQLite that blocks every writer: write @step(atomic=False) "
            "for calls that take long.",
            step.name,
            took,
            extra={"run_id": str(scope.run.id)},
        )


def _outcome(runtime: Runtime, definition: WorkflowDefinition, scope: Scope, result: Any) -> Outcome:
    checked = _checked_result(definition, scope.step, result)
    if isinstance(checked, Complete):
        scope.context = _completed(runtime, scope, checked)
    if isinstance(checked, Fail):
        checked = Fail(reason=bounded(checked.reason, runtime.policy.error_length, runtime.policy.redact))
    children = new_children(runtime, scope.run, checked) if isinstance(checked, Children) else ()
    return Outcome(result=checked, data=_dumped(runtime, scope), children=children)


def _dumped(runtime: Runtime, scope: Scope) -> JsonObject:
    """Return the Context as data. Raises ContextError, whatever its validators and serialisers raise."""
    try:
        return dump(scope.context, runtime.policy.context)
    except ContextError as error:
        raise ContextError(f"Step {scope.step.name!r}: {error}") from None
    except Exception as error:
        # Validators and serialisers are the author's code; a list that holds itself is refused by pydantic.
        raise ContextError(f"Step {scope.step.name!r}: the Context cannot be stored: {summarise(error)}") from error


def _checked_result(definition: WorkflowDefinition, step: StepDefinition, result: Any) -> StepResult:
    """Refuse what is not a result, and targets that are not steps, before anything is written."""
    if step.name == definition.on_fail:
        return _compensation_result(definition, result)
    match result:
        case Goto(step=target):
            _check_target(definition, step, "goto", target)
        case Sleep(then=then) | Children(then=then):
            _check_target(definition, step, "then=", then)
        case Wait(then=then, on_timeout=on_timeout):
            _check_target(definition, step, "then=", then)
            _check_target(definition, step, "on_timeout=", on_timeout)
        case Complete() | Fail():
            pass
        case _:
            raise ProgrammingError(
                f"Step {step.name!r} of workflow {definition.name!r} returned {_shown(result)}. A step returns "
                "goto(...), sleep(...), wait(...), wait_for_event(...), run_child(...), complete(...) or fail(...)."
            )
    checked: StepResult = result
    return checked


def _compensation_result(definition: WorkflowDefinition, result: Any) -> StepResult:
    match result:
        case None:
            return Complete()
        case Complete() | Fail():
            return result
        case _:
            raise ProgrammingError(
                f"The @on_fail step of workflow {definition.name!r} returned {_shown(result)}. It returns nothing, "
                "complete(...) or fail(...): the run has failed, and this is its last step."
            )


def _check_target(definition: WorkflowDefinition, step: StepDefinition, word: str, target: str | None) -> None:
    if target is not None and (target not in definition.steps or target == definition.on_fail):
        raise ProgrammingError(f"In step {step.name!r}, {word} leads to {unknown_step(definition, target)}")


def _completed(runtime: Runtime, scope: Scope, result: Complete) -> Any:
    """Set what `complete(...)` was given on the Context, where it declares it, validated."""
    try:
        check_json(dict(result.values), runtime.policy.payload, root="complete(...)")
    except WorkflowError as error:
        raise ProgrammingError(f"Step {scope.step.name!r}: {error}") from None
    declared = {key: value for key, value in result.values.items() if key in type(scope.context).model_fields}
    if not declared:
        return scope.context
    try:
        return load(type(scope.context), {**_dumped(runtime, scope), **declared})
    except ValidationError as error:
        raise ContextError(f"Step {scope.step.name!r} returned complete(...) with {problems(error)}") from None


def _kept(runtime: Runtime, scope: Scope) -> JsonObject:
    """Return the Context to keep after a raise: as it is, if it can be stored, else as the attempt found it.

    A copy of that: for a reserved start it has never been stored, and a storage tells what changed by identity.
    """
    if not scope.step.retry.keep_context:
        return dict(scope.initial)
    try:
        return _dumped(runtime, scope)
    except ContextError:
        logger.warning("The Context of a failed attempt cannot be stored; the last good one is kept.")
        return dict(scope.initial)


def _is_from_user_code(error: BaseException) -> bool:
    """Tell an exception that user code may raise from one that a simulator uses to end a worker."""
    return not getattr(error, "is_simulated_crash", False)


def _shown(result: Any) -> str:
    if result is None:
        return "None"
    if inspect.iscoroutine(result):
        result.close()
        return "a coroutine (write async def, or await it)"
    return f"{type(result).__name__}"
