"""Figures a round of what was noted when each began."""

from tests.support.benchmark_scripts import load_script

round_moments = load_script("speed/round_moments.py")
Moment = round_moments.Moment
MIB = 2**20


def moment(wall_s: float, cpu_s: float, centers_s: float = 0.0, resident: int = 0, written: int = 0) -> object:
    return Moment(wall_s, cpu_s, 2 * cpu_s, centers_s, resident, written, checkpoint=0, audit=0)


def test_the_first_round_is_left_out_and_what_the_centers_took_is_taken_off() -> None:
    """Rounds of 9, 2 and 4 s, of which the centers' apps take 1 s each."""
    moments = [moment(0, 0), moment(9, 9, 1), moment(11, 11, 2), moment(15, 15, 3)]
    found = round_moments.figures(moments, 2, 0)
    assert (found["rounds"], found["wall_s"], found["cpu_s"]) == (3, 3, 2)
    assert (found["centers_cpu_s"], found["beside_cpu_s"], found["growth"]) == (1, 3, 3)


def test_memory_and_bytes_are_those_of_a_round() -> None:
    sizes = [(0, 0), (8 * MIB, MIB), (9 * MIB, 3 * MIB), (10 * MIB, 7 * MIB)]
    found = round_moments.figures([moment(n, n, resident=r, written=w) for n, (r, w) in enumerate(sizes)], 2, MIB)
    assert (found["mib_before"], found["mib_growth_a_round"]) == (1, 1)
    assert (found["written_mib"], found["written_growth"]) == (3, 2)
