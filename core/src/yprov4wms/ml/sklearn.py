"""Records what estimators of scikit-learn do in a block.

::

    from yprov4wms.ml.sklearn import autolog

    search = GridSearchCV(SVC(), {"C": [1, 10]})
    with autolog(search):
        search.fit(X_train, y_train)
        search.score(X_test, y_test)

Any object with ``fit`` and ``get_params`` is one. scikit-learn itself is not imported.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from yprov4wms.ml._autolog import TRAINING, VALIDATION, Session, label

EVALUATION = "evaluation"

_FITS = ("fit", "fit_transform", "fit_predict")


@contextmanager
def autolog(
    *estimators: Any, experiment: str | None = None, name: str | None = None
) -> Iterator[None]:
    """Log what these estimators fit and score in the block, to the active run or to its own.

    Logged are, for each ``fit`` (``fit_transform``, ``fit_predict``): the parameters as
    ``<class>.<parameter>``, those of the steps of a pipeline included; the data with shape,
    samples and checksum; the seconds it took; the model; the course of the training where
    the estimator keeps one (``loss_curve_``, ``validation_scores_``); of a search
    the candidates, with each one's results in the context ``validation`` and its number as
    step, and which is best. ``score`` is logged in the context ``training`` for the data of
    the fit, else in ``evaluation``.

    It is a block that names its estimators, rather than a switch for all of scikit-learn:
    there is no one place where scikit-learn fits, so a switch would have to replace methods
    of hundreds of classes for good, and would take the clones that a search or a
    cross-validation fits for models of the user's. In the block the methods of the
    estimators' classes look out for these objects alone, and are afterwards what they were;
    workers of a parallel fit get them as they were.

    Args:
        estimators: One or more. Two of one class are told apart by a number.
        experiment, name: Of a run of its own; else the experiment is the first one's class.

    Raises TypeError for what has no ``fit``.
    """
    if not estimators:
        raise TypeError("autolog takes the estimators that are to be logged")
    for each in estimators:
        if not callable(getattr(each, "fit", None)) or isinstance(each, type):
            raise TypeError(f"autolog takes estimators, not {each!r}")
    session = Session("scikit-learn", experiment, name)
    with session.guarded("begin"):
        session.begin(label(estimators[0]))
    watch = _Watch(session, estimators)
    try:
        with ExitStack() as stack:
            for kind in dict.fromkeys(type(each) for each in estimators):
                for method in (*_FITS, "score"):
                    stack.enter_context(_replaced(kind, method, watch))
            yield
    except BaseException as error:
        with session.guarded("end"):
            if session.own:
                session.failed(error)
        raise
    with session.guarded("end"):
        session.end()


@contextmanager
def _replaced(kind: type, name: str, watch: _Watch) -> Iterator[None]:
    try:
        found = inspect.getattr_static(kind, name)
    except AttributeError:
        yield
        return
    own = name in vars(kind)
    try:
        setattr(kind, name, _Method(found, name, watch))
    except (AttributeError, TypeError):  # a class that cannot be changed is not watched
        yield
        return
    try:
        yield
    finally:
        if own:
            setattr(kind, name, found)
        else:
            delattr(kind, name)


class _Method:
    """A method of a class that is watched for some of its objects."""

    def __init__(self, found: Any, name: str, watch: _Watch) -> None:
        self._found = found
        self._name = name
        self._watch = watch

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        found = self._found
        # A descriptor, as scikit-learn's of methods that some objects lack, may raise.
        bound = found.__get__(obj, owner) if hasattr(type(found), "__get__") else found
        if obj is None or not self._watch.sees(obj):
            return bound

        @functools.wraps(bound)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._watch.call(obj, self._name, bound, args, kwargs)

        return call

    def __reduce__(self) -> tuple[Any, ...]:
        # A class of the script itself goes to the workers of a parallel fit by value.
        return _same, (self._found,)


def _same(value: Any) -> Any:
    return value


class _Watch:
    def __init__(self, session: Session, estimators: tuple[Any, ...]) -> None:
        self._session = session
        self._estimators = estimators
        self._labels: dict[int, str] = {}
        self._inside: set[int] = set()
        #: By estimator, the data of its last fit.
        self._data: dict[int, Any] = {}
        for each in estimators:
            same = sum(type(other) is type(each) for other in self._estimators)
            number = sum(kept.partition("-")[0] == label(each) for kept in self._labels.values())
            suffix = f"-{number + 1}" if same > 1 else ""
            self._labels.setdefault(id(each), f"{label(each)}{suffix}")

    def sees(self, obj: Any) -> bool:
        return id(obj) in self._labels and id(obj) not in self._inside

    def call(self, obj: Any, name: str, bound: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        data = _given(bound, args, kwargs)
        session = self._session
        self._inside.add(id(obj))
        try:
            if name != "score":
                with session.guarded("before fit"):
                    self._before(obj, data)
            began = time.perf_counter()
            result = bound(*args, **kwargs)
            took = time.perf_counter() - began
            with session.guarded("score" if name == "score" else "after fit"):
                if name == "score":
                    self._score(obj, data, result)
                else:
                    self._after(obj, data, took)
            return result
        except BaseException as error:
            if not session.own:
                with session.guarded("fit"):
                    text = f"{type(error).__qualname__}: {error}"
                    session.params({"error": text}, f"{self._labels[id(obj)]}.", made=True)
            raise
        finally:
            self._inside.discard(id(obj))

    def _before(self, obj: Any, data: dict[str, Any]) -> None:
        name = self._labels[id(obj)]
        params = obj.get_params(deep=True) if hasattr(obj, "get_params") else {}
        nested = {key.partition("__")[0] for key in params if "__" in key}
        # The parts of an estimator are told by their own parameters.
        plain = {key: value for key, value in params.items() if key not in nested | {"steps"}}
        self._session.params(plain, f"{name}.")
        for key, value in data.items():
            self._session.dataset_of(f"{name}.{key}", value, TRAINING)

    def _after(self, obj: Any, data: dict[str, Any], took: float) -> None:
        session, name = self._session, self._labels[id(obj)]
        self._data[id(obj)] = data.get("X")
        session.metrics({f"{name}.fit_time": took}, TRAINING, None)
        for key, context in (("loss_curve_", TRAINING), ("validation_scores_", VALIDATION)):
            for step, value in enumerate(_kept(obj, key)):
                session.metrics({f"{name}.{key.rstrip('_')}": value}, context, step)
        found = vars(obj).get("cv_results_")
        if isinstance(found, dict):
            self._search(obj, name, found)
        session.model(name, obj, given=False)

    def _search(self, obj: Any, name: str, results: dict[str, Any]) -> None:
        session = self._session
        session.params({"candidates": list(results["params"])}, f"{name}.", made=True)
        for key, values in results.items():
            if key != "params" and not key.startswith("param_"):
                for step, value in enumerate(values):
                    session.metrics({f"{name}.{key}": value}, VALIDATION, step)
        best = ("best_params_", "best_score_", "best_index_")
        session.params({key.rstrip("_"): vars(obj).get(key) for key in best}, f"{name}.", made=True)

    def _score(self, obj: Any, data: dict[str, Any], result: Any) -> None:
        name, given = self._labels[id(obj)], data.get("X")
        known = given is not None and given is self._data.get(id(obj))
        context = TRAINING if known else EVALUATION
        if not known:
            for key, value in data.items():
                self._session.dataset_of(f"{name}.{key}", value, context)
        self._session.metrics({f"{name}.score": result}, context, None)


def _given(bound: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments ``X`` and ``y``, by position or name."""
    found = {**dict(zip(("X", "y"), args, strict=False)), **kwargs}
    return {key: found[key] for key in ("X", "y") if found.get(key) is not None}


def _kept(obj: Any, key: str) -> list[Any]:
    values = vars(obj).get(key)
    return list(values) if isinstance(values, list) else []
