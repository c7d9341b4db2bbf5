import pytest

from server.tracking.database import provide_database


def test_a_maker_that_dies_half_way_leaves_no_database_and_the_next_one_makes_it_whole(tmp_path):
    """MLflow refuses a file with some of its tables for ever; the next start must not find one."""
    path = tmp_path / "mlflow.db"

    def dying(uri):
        (tmp_path / uri.removeprefix("sqlite:///").rsplit("/", 1)[1]).write_text("half")
        raise KeyboardInterrupt

    def making(uri):
        (tmp_path / uri.removeprefix("sqlite:///").rsplit("/", 1)[1]).write_text("whole")

    with pytest.raises(KeyboardInterrupt):
        provide_database(f"sqlite:///{path}", dying)
    assert not path.exists()
    provide_database(f"sqlite:///{path}", making)
    assert path.read_text() == "whole"
    assert [found.name for found in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_database_that_is_there_and_a_server_are_left_alone(tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_text("there")

    def refusing(uri):
        raise AssertionError(uri)

    provide_database(f"sqlite:///{path}", refusing)
    provide_database("https://mlflow.example.org", refusing)
    assert path.read_text() == "there"
