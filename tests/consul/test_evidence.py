"""What an answer has to prove before it may take something away."""

import pytest

from xds_server.consul.evidence import Bounds, Claim, Evidence, Objection, Question
from xds_server.consul.query import Answer, Reads

BOUNDS = Bounds(max_stale=10, max_age=20, hold=300)
LEADER = Reads.CONSISTENT
NOON = 1_795_348_800.0  # 2026-11-22 12:00:00 UTC

LOSS = Claim(gone=1, of=4)
NOTHING = Claim(of=4)


class Told:
    """Tells one Evidence, and says what it made of it."""

    def __init__(self, question=Question.SERVICE, index=100):
        self.evidence = Evidence(question, BOUNDS)
        self.now = NOON
        assert self(index=index) == "believed"

    def __call__(self, claim=NOTHING, *, reads=None, after=1.0, **answer):
        """Give `believed`, or the kind of objection, for an answer `after` so many seconds."""
        self.now += after
        try:
            self.evidence.weigh(Answer(body=b"", **answer), claim, reads=reads, at=self.now)
        except Objection as objection:
            self.said = str(objection)
            if objection.ask_leader:
                assert self.evidence.next_reads is LEADER
                return "ask leader"
            return "additions" if objection.adds else "nothing"
        assert self.evidence.next_reads is None
        return "believed"

    @property
    def leader_is_asked(self):
        return self.evidence.next_reads is LEADER


@pytest.mark.parametrize("claim", [NOTHING, LOSS, Claim(gone=4, of=4), Claim(gone=1, of=1)])
def test_a_healthy_answer_is_believed_whatever_it_takes_away(claim):
    assert Told()(claim, index=101) == "believed"


BAD_SIGNS = [
    ({"filtered_by_acls": True}, "additions", "additions", "filtered by ACLs"),
    ({"known_leader": False}, "ask leader", "additions", "knows no leader"),
    ({"last_contact": 10_001}, "ask leader", "additions", "lacks 1 of 4 instances"),
    ({"age": 20.1}, "ask leader", "additions", "agent's cache"),
]


@pytest.mark.parametrize(("sign", "first", "by_leader", "said"), BAD_SIGNS, ids=str)
def test_a_sign_against_an_answer_that_takes_something_away(sign, first, by_leader, said):
    told = Told()

    assert told(LOSS, index=101, **sign) == first
    assert told.leader_is_asked == (first == "ask leader")
    assert told(LOSS, index=101, reads=LEADER, **sign) == by_leader
    assert not told.leader_is_asked
    assert said in told.said


@pytest.mark.parametrize("sign", [sign for sign, *_ in BAD_SIGNS], ids=str)
def test_the_same_signs_do_not_matter_where_nothing_is_taken_away(sign):
    assert Told()(NOTHING, index=101, **sign) == "believed"


@pytest.mark.parametrize("sign", [{"last_contact": 10_000}, {"age": 20.0}], ids=str)
def test_a_bound_is_not_beyond_itself(sign):
    assert Told()(LOSS, index=101, **sign) == "believed"


@pytest.mark.parametrize("sign", [{"known_leader": False}, {"last_contact": 10_001}, {"age": 30.0}], ids=str)
def test_what_is_only_behind_is_settled_by_the_leader(sign):
    told = Told()

    assert told(LOSS, index=101, **sign) == "ask leader"
    assert told(LOSS, index=102, reads=LEADER) == "believed"


@pytest.mark.parametrize(
    ("question", "said"),
    [(Question.LIST, "own service `consul`"), (Question.SERVICE, "none of its instances")],
)
@pytest.mark.parametrize("reads", [None, LEADER])
def test_an_answer_without_what_it_cannot_lack_is_not_believed_at_all(question, said, reads):
    told = Told(question)

    assert told(Claim(gone=4, of=4, shows=False), index=101, reads=reads) == "nothing"
    assert said in told.said
    assert told(LOSS, index=102) == "believed"


# --- the index


def test_an_index_that_went_back_is_put_to_the_leader_whatever_it_says():
    told = Told()

    assert told(NOTHING, index=50) == "ask leader"
    assert told(NOTHING, index=101, reads=LEADER) == "believed"


def test_a_restored_snapshot_that_lacks_nothing_is_believed_from_the_leader():
    told = Told()

    assert told(NOTHING, index=50) == "ask leader"
    assert told(NOTHING, index=50, reads=LEADER) == "believed"
    assert told(LOSS, index=51) == "believed"


def test_a_loss_in_a_restored_snapshot_is_held_and_then_believed():
    told = Told()

    assert told(LOSS, index=50) == "ask leader"
    assert told(LOSS, index=50, reads=LEADER) == "additions"
    assert told.said.endswith("They are kept until 12:05:03 UTC, then it is believed.")
    assert told(LOSS, index=50, reads=LEADER, after=299.9) == "additions"
    assert told(LOSS, index=50, reads=LEADER, after=0.1) == "believed"
    assert told(LOSS, index=51) == "believed"


def test_lost_data_is_held_although_new_writes_overtake_the_old_index():
    told = Told(Question.LIST)
    everything = Claim(gone=4, of=4)

    assert told(everything, index=6) == "ask leader"
    assert told(everything, index=6, reads=LEADER) == "additions"
    assert told(LOSS, index=500, reads=LEADER) == "additions"
    assert told(LOSS, index=501, reads=LEADER, after=300) == "believed"


def test_what_comes_back_ends_the_hold_at_once():
    told = Told()

    told(LOSS, index=50)
    assert told(LOSS, index=50, reads=LEADER) == "additions"
    assert told(NOTHING, index=60, reads=LEADER) == "believed"
    assert told(LOSS, index=61) == "believed"


def test_an_outage_while_a_loss_is_held_neither_ends_nor_restarts_the_hold():
    told = Told()

    told(LOSS, index=50)
    assert told(LOSS, index=50, reads=LEADER) == "additions"
    told.evidence.failed()
    assert told(LOSS, index=50, after=200) == "ask leader"
    assert told(LOSS, index=50, reads=LEADER) == "additions"
    assert told(LOSS, index=50, reads=LEADER, after=100) == "believed"


def test_a_second_restore_restarts_the_hold():
    told = Told()

    told(LOSS, index=50)
    assert told(LOSS, index=50, reads=LEADER) == "additions"
    assert told(LOSS, index=40, reads=LEADER, after=200) == "additions"
    assert told(LOSS, index=40, reads=LEADER, after=299) == "additions"
    assert told(LOSS, index=40, reads=LEADER, after=1) == "believed"


@pytest.mark.parametrize("reads", [None, LEADER])
def test_the_same_index_takes_nothing_away(reads):
    told = Told()

    assert told(LOSS, index=100, reads=reads) == "additions"
    assert "nothing has changed" in told.said
    assert told(LOSS, index=100, reads=reads, after=1000) == "additions"
    assert told(LOSS, index=101) == "believed"


def test_an_answer_without_an_index_is_put_to_the_leader_and_held():
    told = Told()

    assert told(NOTHING, index=0) == "believed"
    assert told(LOSS, index=0) == "ask leader"
    assert told(LOSS, index=0, reads=LEADER) == "additions"
    assert told(LOSS, index=0, reads=LEADER, after=300) == "believed"


# --- after an error


@pytest.mark.parametrize(("gone", "made_of_it"), [(2, "believed"), (3, "ask leader"), (4, "ask leader")])
def test_after_an_error_the_leader_is_asked_where_more_than_half_is_gone(gone, made_of_it):
    told = Told()
    told.evidence.failed()

    assert told(Claim(gone=gone, of=4), index=101) == made_of_it
    assert told(Claim(gone=gone, of=4), index=101 + gone, reads=LEADER) == "believed"
    assert told(Claim(gone=4, of=4), index=110) == "believed"


def test_an_error_ends_the_question_to_the_leader():
    """A server without a leader answers `?consistent` with an error: what it has is better than nothing."""
    told = Told()

    assert told(LOSS, index=101, known_leader=False) == "ask leader"
    told.evidence.failed()
    assert not told.leader_is_asked


# --- contradictions


def test_two_servers_that_take_turns_are_not_believed_until_they_are_quiet_for_a_minute():
    told = Told()

    made = [told(LOSS if index == 50 else NOTHING, index=index) for index in (50, 101, 50, 102, 50, 103)]
    assert made == ["ask leader", "believed"] * 3
    assert told(LOSS, index=50) == "nothing"
    assert "contradict" in told.said
    assert told(NOTHING, index=104) == "nothing"
    assert told(NOTHING, index=105, after=58) == "nothing"
    assert told(NOTHING, index=106, after=2) == "believed"


def test_seldom_is_no_contradiction():
    told = Told()

    for _ in range(6):
        assert told(NOTHING, index=50, after=25) == "ask leader"
        assert told(NOTHING, index=101) == "believed"


def test_a_list_that_loses_most_of_itself_again_and_again_contradicts_itself():
    told = Told(Question.LIST)
    most, all_there = Claim(gone=6, of=10), Claim(of=10)

    for turn in range(3):
        assert told(most, index=101 + 2 * turn) == "believed"
        assert told(all_there, index=102 + 2 * turn) == "believed"
    assert told(most, index=110) == "nothing"
    assert told(all_there, index=111) == "nothing"
    assert told(all_there, index=112, after=60) == "believed"


@pytest.mark.parametrize(
    ("question", "claim"),
    [(Question.LIST, Claim(gone=9, of=9)), (Question.SERVICE, Claim(gone=20, of=20))],
    ids=["few services", "instances"],
)
def test_a_few_services_and_all_instances_may_come_and_go(question, claim):
    told = Told(question)

    for turn in range(10):
        assert told(claim, index=101 + 2 * turn) == "believed"
        assert told(NOTHING, index=102 + 2 * turn) == "believed"


def test_a_loss_that_is_held_is_one_flip_and_not_one_for_each_answer():
    told = Told(Question.LIST)
    lost = Claim(gone=20, of=20)

    assert told(lost, index=6) == "ask leader"
    for _ in range(20):
        assert told(lost, index=6, reads=LEADER) == "additions"
    assert told(lost, index=6, reads=LEADER, after=300) == "believed"
