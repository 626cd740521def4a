"""Real fits with scikit-learn."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from yprov4wms import ml
from yprov4wms.ml import _objects
from yprov4wms.ml.sklearn import autolog

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_a_fit_is_recorded(digits, left):
    X, y = digits  # noqa: N806
    model = LogisticRegression(C=0.5, max_iter=20)
    with autolog(model, name="one"):
        assert model.fit(X[:300], y=y[:300]) is model
        score = model.score(X[300:], y[300:])
    found = left()
    assert found.status == "completed"
    assert found.run["yprov:experiment_name"] == "LogisticRegression"
    assert found.params()["LogisticRegression.C"] == 0.5
    datasets = found.datasets()
    assert datasets["LogisticRegression.X", "training"]["samples"] == 300
    assert datasets["LogisticRegression.X", "training"]["shape"] == "[300,64]"
    assert datasets["LogisticRegression.y", "evaluation"]["samples"] == 100
    assert found.values("LogisticRegression.score", "evaluation") == [score]
    (took,) = found.values("LogisticRegression.fit_time", "training")
    assert 0 < took < 60
    (model_,) = found.models()
    assert model_["parameters"] == 65 * 10


def test_a_score_of_the_data_that_was_fitted_is_one_of_the_training(digits, left):
    X, y = digits  # noqa: N806
    model = Ridge()
    with autolog(model):
        score = model.fit(X, y).score(X, y)
    assert left().values("Ridge.score", "training") == [score]


def test_a_search_has_its_candidates(digits, left):
    X, y = digits  # noqa: N806
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5))
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1, 10]}, cv=2)
    with autolog(search):
        search.fit(X, y)
    found = left()
    results = search.cv_results_
    assert found.values("GridSearchCV.mean_test_score", "validation") == list(
        results["mean_test_score"]
    )
    assert found.steps("GridSearchCV.split1_test_score", "validation") == [0, 1, 2]
    params = found.params()
    assert params["GridSearchCV.best_index"] == search.best_index_
    assert "logisticregression__C" in str(params["GridSearchCV.candidates"])
    assert params["GridSearchCV.cv"] == 2
    assert params["GridSearchCV.estimator__logisticregression__max_iter"] == 5
    # Those that the search fitted are no models of the user's.
    assert [model["label"] for model in found.models()] == ["GridSearchCV"]


def test_the_course_of_a_training_is_logged_where_it_is_kept(digits, left):
    X, y = digits  # noqa: N806
    model = MLPClassifier((8,), max_iter=3, early_stopping=True, random_state=1)
    with autolog(model):
        model.fit(X, y)
    found = left()
    assert found.values("MLPClassifier.loss_curve", "training") == model.loss_curve_
    assert found.steps("MLPClassifier.validation_scores", "validation") == [0, 1, 2]


def test_results_are_the_same(digits):
    X, y = digits  # noqa: N806
    plain = MLPClassifier((8,), max_iter=3, random_state=1).fit(X, y)
    watched = MLPClassifier((8,), max_iter=3, random_state=1)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    with autolog(watched):
        watched.fit(X, y)
    assert (np.random.get_state()[1] == state).all()
    assert all((a == b).all() for a, b in zip(plain.coefs_, watched.coefs_, strict=True))


def test_other_objects_and_clones_are_not_recorded(digits, left):
    X, y = digits  # noqa: N806
    model, other = Ridge(), Ridge()
    with autolog(model):
        other.fit(X, y)
        clone(model).fit(X, y)
        cross_val_score(model, X, y, cv=2)
    assert left().models() == []


def test_classes_are_afterwards_what_they_were(digits):
    kinds = Ridge, PCA, MLPClassifier
    before = [{**vars(kind)} for kind in kinds]
    signature = inspect.signature(Ridge().fit)
    pca, ridge = PCA(2), Ridge()

    def block():
        with autolog(pca, ridge, MLPClassifier()):
            assert inspect.signature(ridge.fit) == signature
            assert inspect.signature(Ridge.fit) == inspect.signature(before[0]["fit"])
            with autolog(ridge):
                pass
            raise ValueError("out")

    with pytest.raises(ValueError, match="out"):
        block()
    assert [{**vars(kind)} for kind in kinds] == before
    assert not isinstance(vars(Ridge)["fit"], property)


def test_two_of_one_class_are_told_apart(digits, left):
    X, y = digits  # noqa: N806
    one, two = Ridge(1.0), Ridge(2.0)
    with autolog(one, two):
        one.fit(X, y)
        two.fit(X, y)
    params = left().params()
    assert (params["Ridge-1.alpha"], params["Ridge-2.alpha"]) == (1.0, 2.0)


def test_fit_transform_is_a_fit(digits, left):
    pca = PCA(2)
    with autolog(pca):
        pca.fit_transform(digits[0])
    found = left()
    assert found.params()["PCA.n_components"] == 2
    assert len(found.values("PCA.fit_time", "training")) == 1


def test_an_exception_ends_its_run(left):
    model = Ridge()
    with pytest.raises(ValueError, match="inconsistent"), autolog(model):
        model.fit(np.zeros((3, 2)), np.zeros(2))
    found = left()
    assert found.status == "failed"
    assert "inconsistent" in found.run["yprov4wms:error"]


def test_it_is_nested_in_an_active_run(digits, left):
    model = Ridge()
    with ml.start_run("outer"):
        with autolog(model):
            model.fit(*digits)
        with pytest.raises(ValueError, match="inconsistent"), autolog(model):
            model.fit(np.zeros((3, 2)), np.zeros(2))
        assert ml.active_run() is not None
    found = left()
    assert found.run["yprov:experiment_name"] == "outer"
    assert "inconsistent" in found.params()["Ridge.error"]


def test_a_failure_of_ours_is_one_warning(digits, left, monkeypatch):
    monkeypatch.setattr("yprov4wms.ml._autolog.Session.params", lambda *args: 1 / 0)
    model = Ridge()

    def twice():
        with autolog(model):
            model.fit(*digits)
            model.fit(*digits)

    with pytest.warns(ml.RecordingWarning, match="ZeroDivisionError") as caught:
        twice()
    assert len(caught) == 1
    assert len(left().values("Ridge.fit_time", "training")) == 2


OWN = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV
from yprov4wms.ml.sklearn import autolog


class Own(ClassifierMixin, BaseEstimator):
    def __init__(self, number=1):
        self.number = number

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.number)


if __name__ == "__main__":
    X, y = np.zeros((20, 2)), np.tile([0, 1, 1, 1], 5)
    own = Own()
    search = GridSearchCV(own, {"number": [0, 1]}, cv=2, n_jobs=2)
    with autolog(search, own):
        search.fit(X, y)
    print(search.best_params_)
"""


def test_a_class_of_the_script_fits_in_other_processes(tmp_path, left):
    (tmp_path / "script.py").write_text(OWN)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True)
    assert done.stdout == "{'number': 1}\n", done.stderr
    assert left().params()["GridSearchCV.best_index"] == 1


def test_a_fitted_model_pickles_in_the_block(digits):
    model = Ridge()
    with autolog(model):
        model.fit(*digits)
        again = pickle.loads(pickle.dumps(model))
    assert (again.coef_ == model.coef_).all()


@pytest.mark.parametrize("given", [(), (1,), (Ridge,)])
def test_wrong_use_raises(given):
    with pytest.raises(TypeError), autolog(*given):
        pass


def test_a_pipeline_is_told_by_its_settings():
    found = _objects.model(make_pipeline(StandardScaler(), Ridge()))
    assert found["attributes"]["hyperparameters"]["verbose"] is False
