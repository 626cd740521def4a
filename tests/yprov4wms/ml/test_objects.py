"""What is told of models and data sets, real ones where the package is there."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from sklearn import ensemble, linear_model, neural_network, svm, tree
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from yprov4wms.ml import _objects

DATA, LABELS = load_digits(return_X_y=True)
DATA, LABELS = DATA[:200], LABELS[:200]
FEATURES, CLASSES = DATA.shape[1], 10


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("model", "count"),
    [
        (
            neural_network.MLPClassifier((16, 8), max_iter=1),
            FEATURES * 16 + 16 + 16 * 8 + 8 + 8 * CLASSES + CLASSES,
        ),
        (linear_model.LogisticRegression(max_iter=5), (FEATURES + 1) * CLASSES),
        (linear_model.LogisticRegression(max_iter=5, fit_intercept=False), FEATURES * CLASSES),
        (linear_model.LinearRegression(), FEATURES + 1),
        (linear_model.LinearRegression(fit_intercept=False), FEATURES),
        (svm.SVC(kernel="linear"), None),
        (make_pipeline(StandardScaler(), linear_model.Ridge()), None),
        (tree.DecisionTreeClassifier(), None),
    ],
)
def test_parameters_of_scikit_learn_are_counted_where_it_lists_them(model, count):
    assert _objects.model(model).get("parameters") is None
    assert _objects.model(model.fit(DATA, LABELS)).get("parameters") == count


@pytest.mark.parametrize(
    "model",
    [
        ensemble.RandomForestClassifier(7, random_state=1),
        ensemble.GradientBoostingClassifier(n_estimators=2, random_state=1),
    ],
)
def test_trees_are_told_by_number_and_nodes(model):
    model.fit(DATA, LABELS)
    trees = np.ravel(model.estimators_)
    found = _objects.model(model)
    assert "parameters" not in found
    assert found["attributes"]["trees"] == len(trees)
    assert found["attributes"]["nodes"] == sum(t.tree_.node_count for t in trees)


def test_hyperparameters_and_class_of_scikit_learn_are_kept():
    found = _objects.model(linear_model.Ridge(alpha=2.5))
    assert found["model_class"] == "sklearn.linear_model._ridge.Ridge"
    assert found["attributes"]["hyperparameters"]["alpha"] == 2.5


def test_a_class_is_not_a_model():
    assert _objects.model(linear_model.Ridge) == {
        "model_class": "sklearn.linear_model._ridge.Ridge"
    }


class Parameter:
    def __init__(self, count, requires_grad=True):
        self.numel = lambda: count
        self.requires_grad = requires_grad


class Module:
    """As much of torch's as is asked for."""

    def __init__(self, *parameters):
        self._parameters = parameters

    def parameters(self):
        return iter(self._parameters)


def test_parameters_of_torch_are_counted():
    found = _objects.model(Module(Parameter(10), Parameter(5, requires_grad=False)))
    assert found["parameters"] == 15
    assert found["attributes"] == {"trainable_parameters": 10}


class Keras:
    def __init__(self, count):
        self._count = count

    def count_params(self):
        if self._count is None:
            raise ValueError("the model is not built")
        return self._count


@pytest.mark.parametrize("count", [0, 17226, None])
def test_parameters_of_keras_are_counted_once_it_is_built(count):
    assert _objects.model(Keras(count)).get("parameters") == count


class Hostile:
    """Every attribute raises, or answers with nonsense."""

    def __init__(self, answer):
        self._answer = answer

    def __getattr__(self, name):
        if self._answer is None:
            raise OSError(name)
        return self._answer

    def __len__(self):
        raise OSError


@pytest.mark.parametrize("answer", [None, "text", 1.5, [None], lambda *args, **kwargs: "text"])
def test_an_unknown_object_is_told_by_its_class_alone(answer):
    found = _objects.model(Hostile(answer))
    assert found == {"model_class": f"{__name__}.Hostile"}
    found = _objects.dataset(Hostile(answer))
    assert "samples" not in found
    assert "sha256" not in found


# -- data sets ---------------------------------------------------------------------


def test_arrays_have_samples_shape_type_and_fingerprint():
    found = _objects.dataset(DATA)
    assert (found["samples"], found["shape"]) == (200, [200, 64])
    assert found["attributes"]["dtype"] == "float64"
    expected = hashlib.sha256(b'[[["","<f8"]],[200,64]]\n' + DATA.tobytes()).hexdigest()
    assert found["sha256"] == expected


def fingerprint(array):
    return _objects.dataset(array).get("sha256")


def test_the_fingerprint_is_of_the_values_not_of_their_layout(monkeypatch):
    monkeypatch.setattr(_objects, "_CHUNK", 1000)
    array = np.arange(6000.0).reshape(100, 60)
    expected = fingerprint(array)
    assert fingerprint(np.asfortranarray(array)) == expected
    assert fingerprint(np.repeat(array, 2, axis=0)[::2]) == expected
    assert fingerprint(array[:, ::-1][:, ::-1]) == expected
    assert fingerprint(array.copy()) == expected


def test_the_fingerprint_tells_apart_values_shapes_and_types():
    array = np.arange(6)
    others = [
        array.reshape(2, 3),
        array.reshape(3, 2),
        array.astype("i4"),
        array.astype("f8"),
        array.astype(">i8"),
        array.view("M8[s]"),
        array[:5],
        np.arange(1, 7),
        np.zeros(0),
        np.zeros((0, 3)),
        np.array(3.0),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("c", "f8")]),
    ]
    found = [fingerprint(other) for other in (array, *others)]
    assert len({*found} - {None}) == len(others) + 1


def test_what_holds_more_than_its_buffer_has_no_fingerprint():
    assert fingerprint(np.array(["a", object()], dtype=object)) is None
    assert fingerprint(np.ma.masked_array([1, 2], [True, False])) is None
    assert fingerprint([1, 2]) is None
    assert fingerprint((np.arange(3), [1, 2, 3])) is None
    assert fingerprint({"a": np.arange(3), "b": np.array([None])}) is None


def test_what_is_made_of_arrays_has_a_fingerprint_of_its_parts():
    pair = np.arange(6.0).reshape(3, 2), np.arange(3)
    found = _objects.dataset(pair)
    assert found["samples"] == 3
    parts = [json.dumps([str(i), fingerprint(part)]) + "\n" for i, part in enumerate(pair)]
    assert found["sha256"] == hashlib.sha256("".join(parts).encode()).hexdigest()
    assert fingerprint(list(pair)) == found["sha256"]
    assert fingerprint(pair[::-1]) != found["sha256"]
    named = {"data": pair[0], "target": pair[1]}
    assert fingerprint(named) not in (None, found["sha256"])
    assert fingerprint(named) != fingerprint({"data": pair[0], "labels": pair[1]})


class Dataset:
    def __len__(self):
        return 1500

    def __getitem__(self, index):
        raise AssertionError("no sample is to be read")


class Loader:
    """As much of torch's DataLoader as is asked for."""

    def __init__(self, dataset, batch_size, sampler=None):
        self.dataset, self.batch_size, self.sampler = dataset, batch_size, sampler

    def __len__(self):
        return -(-len(self.dataset) // self.batch_size)


def test_a_loader_is_told_by_its_data_set_not_its_batches():
    found = _objects.dataset(Loader(Dataset(), 64, sampler=range(1000)))
    assert found["samples"] == 1500
    attributes = found["attributes"]
    assert (attributes["batch_size"], attributes["batches"]) == (64, 24)
    assert attributes["samples_per_epoch"] == 1000
    assert attributes["dataset_class"].endswith(".Dataset")


@pytest.mark.parametrize(
    ("data", "samples"),
    [
        (Dataset(), 1500),
        ([1, 2, 3], 3),
        ((DATA, LABELS), 200),
        ({"x": DATA, "y": LABELS}, 200),
        ((DATA, LABELS[:10]), None),
        ((1, 2), None),
        ({"a": 1}, None),
        (load_digits(), None),
        (np.float64(3), None),
        ((x for x in range(3)), None),
        (b"bytes", None),
    ],
)
def test_samples_are_counted_only_where_that_is_clear(data, samples):
    assert _objects.dataset(data).get("samples") == samples


def test_tables_are_told_by_column():
    class Frame:
        """As much of pandas' as is asked for."""

        shape = (7, 2)
        columns = ("a", 1)
        dtypes = (np.dtype("f4"), np.dtype("O"))

    found = _objects.dataset(Frame())
    assert (found["samples"], found["shape"]) == (7, [7, 2])
    assert found["attributes"]["dtype"] == {"a": "float32", "1": "object"}
