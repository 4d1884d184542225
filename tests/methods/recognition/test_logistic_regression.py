import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Fitted

from microexp.methods.recognition import logistic_regression as lr
from tests.methods.recognition.synthetic import clips_of


@pytest.mark.parametrize("rows", [20, 200])
def test_the_fit_is_scikit_learn_s(rows):
    rng = np.random.default_rng(rows)
    x, y = rng.normal(3, 2, (rows, 60)), rng.integers(0, 3, rows)
    x[np.arange(rows), y] += 4
    test = rng.normal(3, 2, (9, 60))
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    model = Fitted(C=0.01, class_weight="balanced", max_iter=2000, tol=1e-9)
    expected = model.fit((x - mean) / deviation, y).predict_proba((test - mean) / deviation)
    np.testing.assert_allclose(lr.fit(x, y, 3, c=0.01).predict(test), expected, atol=2e-4)
    plain = model.fit(x - mean, y).predict_proba(test - mean)
    np.testing.assert_allclose(lr.fit(x, y, 3, c=0.01, standardise=False).predict(test), plain, atol=2e-4)


def test_a_class_without_training_clips_gets_nothing():
    x = np.random.default_rng(0).normal(size=(12, 4))
    p = lr.fit(x, np.array([0, 2] * 6), 3).predict(x[:2])
    assert (p[:, 1] == 0).all() and np.allclose(p.sum(1), 1)
    assert (lr.fit(x, np.full(12, 1), 3).predict(x[:2]) == [0, 1, 0]).all()


def test_mirrors_change_the_sign_of_u_alone():
    clips = clips_of({"demo": ["a"]}, side=8)
    features, mirrored = lr.flow_features(clips, ("u", "v"))
    u, v = clips.maps[:, 1], clips.maps[:, 2]
    assert np.array_equal(features, np.stack([u, v], 1).reshape(len(clips), -1))
    assert np.array_equal(mirrored, np.stack([-u[..., ::-1], v[..., ::-1]], 1).reshape(len(clips), -1))


def test_logistic_recognises_and_a_mirrored_clip_is_answered_alike():
    clips = clips_of({"demo": list("abcdef")}, per_kind=6)
    label = np.arange(len(clips)) % 3
    train, test = np.arange(30), np.arange(30, 36)
    p = lr.logistic(clips, label, train, test=test, classes=3)
    assert (p.argmax(1) == label[test]).mean() > 0.6
    both = lr.logistic(clips, label, train, test=test, classes=3, mirror_test=True)
    clips.maps[test] = clips.maps[test][..., ::-1] * np.array([1, -1, 1, 1, 1]).reshape(-1, 1, 1)
    again = lr.logistic(clips, label, train, test=test, classes=3, mirror_test=True)
    np.testing.assert_allclose(both, again, atol=1e-6)
    assert lr.logistic(clips, label, train, test=np.array([], int), classes=3).shape == (0, 3)
