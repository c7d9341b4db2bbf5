from tests.support.benchmark_scripts import load_script
from tests.support.small_training import made

script = load_script("privacy/membership.py")


def test_half_of_the_patients_train() -> None:
    pool = script.half_train({name: made(name, "ct", seed) for seed, name in enumerate("abcdef")})
    assert pool.names == tuple("abcdef")
    assert int(pool.members.sum()) == 3


def test_the_arm_without_a_guarantee_comes_first() -> None:
    found = dict(script.arms([8.0, 1.0], 1e-2))
    assert list(found) == ["none", "epsilon-8", "epsilon-1"]
    assert found["none"].privacy is None
    assert (found["epsilon-1"].privacy.epsilon, found["epsilon-1"].privacy.delta) == (1.0, 1e-2)
