import pytest
from mlflow.tracking import MlflowClient

from protocol.errors import StorageError
from server.tracking.store import Store, is_remote, trouble


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A local store with one experiment."""
    folder = tmp_path_factory.mktemp("store")
    return Store(f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri(), "token")


def test_an_experiment_and_a_run_are_made_once(store):
    place = store.experiment("toy")
    assert store.own_run(place) == ""
    run_id = store.new_run(place, {"center": "a"})
    assert (store.experiment("toy"), store.own_run(place)) == (place, run_id)


def test_a_run_that_the_store_does_not_have_cannot_be_resumed(store):
    assert store.resume(store.new_run(store.experiment("resumed"), {}))
    assert not store.resume("0" * 32)


def test_a_parameter_that_a_run_has_stays_as_it_is(store):
    run_id = store.new_run(store.experiment("parameters"), {})
    store.parametrise(run_id, {"rank": "8"})
    store.parametrise(run_id, {"rank": "16", "alpha": "4"})
    assert MlflowClient(store.uri).get_run(run_id).data.params == {"rank": "8", "alpha": "4"}


def test_a_point_whose_answer_was_lost_is_the_same_row_when_it_is_sent_again(store):
    """The second call does not know that the first arrived."""
    run_id = store.new_run(store.experiment("points"), {})
    for _ in range(2):
        store.log(run_id, {("loss", 7): 0.5}, {})
        store._steps[run_id, "loss"] = 0
    points = MlflowClient(store.uri).get_metric_history(run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(7, 0.5)]


def test_a_step_that_the_run_has_is_not_logged_again(store):
    run_id = store.new_run(store.experiment("steps"), {})
    store.log(run_id, {("loss", 1): 0.5}, {})
    store.forget()
    store.log(run_id, {("loss", 1): 0.25, ("loss", 2): 0.125}, {"mark": "x"})
    client = MlflowClient(store.uri)
    assert [point.value for point in client.get_metric_history(run_id, "loss")] == [0.5, 0.125]
    assert client.get_run(run_id).data.tags["mark"] == "x"


def test_a_store_that_takes_too_long_is_not_asked_for_more(tmp_path):
    slow = Store(f"sqlite:///{tmp_path / 'mlflow.db'}", None, "token")
    slow.allow(-1)
    with pytest.raises(StorageError, match="answers too slowly; the rest follows later"):
        slow.experiment("toy")


@pytest.mark.parametrize(
    ("uri", "said", "remedy"),
    [
        ("sqlite:///mlflow.db", "database is locked", "Check the store and the free space, then resume"),
        ("https://m", "answered 401 somewhere", "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        ("https://m", "PERMISSION_DENIED", "Give the user the right to make experiments and models"),
        ("https://m", "CERTIFICATE_VERIFY_FAILED", "Name the server's authority with MLFLOW_TRACKING_SERVER_CERT_PATH"),
        ("https://m", "refused", "Check that the server runs, its address and its database"),
    ],
)
def test_every_trouble_has_its_remedy(uri, said, remedy):
    with pytest.raises(StorageError, match=remedy), trouble(uri):
        raise OSError(said)


def test_an_error_that_is_not_the_stores_stays_what_it_is():
    with pytest.raises(ZeroDivisionError), trouble("https://m"):
        raise ZeroDivisionError


def test_a_server_is_told_from_a_file():
    assert is_remote("https://mlflow.example.org")
    assert not is_remote("sqlite:////study/mlflow.db")
