"""What is said of a pull request, and which of its comments and statuses are touched."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.checks.coverage import Coverage, Covered
from delivery.checks.plan import CheckReport
from delivery.errors import (
    CheckCancelled,
    CheckFailed,
    GitHubRefused,
    RequestRefused,
    ScannerDidNotRun,
    Superseded,
)
from delivery.github.commit_statuses import (
    CommitStatus,
    Contexts,
    RunStatuses,
    closed,
    is_summary,
    read_statuses,
    to_send,
)
from delivery.github.coverage_comment import MARKER, Comment, Compared, Todo, markdown, to_do
from delivery.github.forks import hold, may_replace
from delivery.github.pull_request import read_pull, require_head

RUN, OTHER = "http://ui/runs/flow-run/1", "http://ui/runs/flow-run/2"
OURS = "kanvaro-delivery[bot]"
MAIN = "refs/heads/main"
INTO_MAIN = RunStatuses(Contexts.into(MAIN, MAIN), RUN)
LONG = "/".join(["refs/heads", *["a" * 40] * 6])


def answer(**more):
    repo = {"id": 1}
    head = {"sha": "a" * 40, "ref": "$(id)", "repo": repo}
    return {
        "number": 7,
        "state": "open",
        "merged_at": None,
        "head": head,
        "base": {"ref": "main", "repo": repo},
        **more,
    }


class TestThePullRequest:
    def test_is_read_without_the_name_of_its_branch(self):
        pull = read_pull(answer())
        assert (pull.number, pull.base, pull.is_from_fork) == (7, "refs/heads/main", False)
        assert "$(id)" not in str(pull)

    @pytest.mark.parametrize("repo", [None, {"id": 2}])
    def test_is_from_a_fork_also_if_that_is_deleted(self, repo):
        assert read_pull(answer(head={"sha": "a" * 40, "repo": repo})).is_from_fork

    @pytest.mark.parametrize(
        "said", [None, [], {}, answer(head=None), answer(head={"sha": "main", "repo": None})]
    )
    def test_is_refused_where_github_says_something_else(self, said):
        with pytest.raises(GitHubRefused):
            read_pull(said)

    def test_must_be_open_and_at_the_revision(self):
        require_head(read_pull(answer()), "a" * 7)
        with pytest.raises(RequestRefused, match="pull request 7 is merged"):
            require_head(read_pull(answer(state="closed", merged_at="2026")), "a" * 40)
        with pytest.raises(Superseded, match="is at aaaaaaaaaa now, not at bbbbbbbbbb"):
            require_head(read_pull(answer()), "b" * 40)


class TestAForksPullRequest:
    FORKS = read_pull(answer(head={"sha": "a" * 40, "repo": {"id": 2}}))
    OWN = read_pull(answer())

    @pytest.mark.parametrize("rule", ["refuse", "ask", "run", "anything else"])
    def test_is_held_by_the_policy_and_one_of_our_own_branches_never(self, rule):
        held = hold(rule, self.FORKS, "a" * 40)
        states = {"ask": "pending", "run": None}
        assert (held and held.state) == states.get(rule, "error")
        assert hold(rule, self.OWN, "a" * 40) is None

    @pytest.mark.parametrize(
        ("rule", "revision", "approved_by", "runs"),
        [
            ("ask", "a" * 40, "ada", True),
            ("ask", "a" * 40, "", False),
            ("ask", "a" * 39, "ada", False),
            ("ask", "b" * 40, "ada", False),
            ("ask", "", "ada", False),
            ("refuse", "a" * 40, "ada", False),
        ],
    )
    def test_runs_when_a_person_read_the_whole_revision(self, rule, revision, approved_by, runs):
        assert (hold(rule, self.FORKS, revision, approved_by) is None) == runs

    @pytest.mark.parametrize("rule", ["refuse", "ask"])
    def test_says_what_to_do_in_what_github_keeps_of_a_description(self, rule):
        held = hold(rule, self.FORKS)
        assert INTO_MAIN.status("", held.state, held.said).description == held.said
        assert held.hint

    @pytest.mark.parametrize(
        ("state", "target", "replaced"),
        [
            ("success", "http://ui/deployments", False),
            ("failure", RUN, False),
            ("pending", RUN, False),
            ("pending", "http://ui/deployments", True),
            ("error", RUN, True),
        ],
    )
    def test_takes_no_verdict_and_no_status_of_a_run_under_way_away(self, state, target, replaced):
        assert may_replace(CommitStatus("kanvaro", state, "", target)) == replaced
        assert may_replace(None)


class TestStatuses:
    @given(st.text())
    def test_a_description_is_one_short_line(self, text):
        said = INTO_MAIN.status("unit", "failure", text).description
        assert len(said) <= 140
        assert "\n" not in said

    def test_a_verdict_is_failure_and_no_verdict_is_error(self):
        assert INTO_MAIN.failed("unit", CheckFailed("no")).state == "failure"
        assert INTO_MAIN.failed("unit", CheckCancelled("stopped")).state == "error"
        assert INTO_MAIN.failed("security", ScannerDidNotRun("no answer")).state == "error"
        assert INTO_MAIN.ended_early(Superseded("superseded: …")).state == "error"

    def test_the_text_of_an_error_that_is_not_ours_is_not_shown(self):
        assert "hunter2" not in INTO_MAIN.failed("unit", ValueError("hunter2")).description

    def test_the_sum_names_what_failed_and_may(self):
        reports = [CheckReport("lint", "passed", 1), CheckReport("e2e", "failed, allowed to", 2)]
        said = INTO_MAIN.summed_up(reports, 1)
        assert (said.context, said.state) == ("kanvaro", "success")
        assert said.description == "2 checks passed; e2e failed and may; 1 not applicable"
        assert INTO_MAIN.passed(reports[0], before=True).description.startswith("proven before")

    def test_of_what_github_lists_only_ours_counts_and_only_what_differs_is_sent(self):
        ours = INTO_MAIN.status("unit", "pending", "waits")
        known = read_statuses([ours.body(), {**ours.body(), "context": "kanvaro-evil/unit"}])
        assert known == {"kanvaro/unit": ours}
        assert to_send([ours], known) == []
        final = INTO_MAIN.status("unit", "success", "passed")
        assert to_send([final], known) == [final]

    def test_only_what_the_run_left_pending_is_closed(self):
        known = {
            each.context: each
            for each in (
                INTO_MAIN.status("unit", "pending", "runs"),
                INTO_MAIN.status("lint", "success", "passed"),
                RunStatuses(INTO_MAIN.contexts, OTHER).status("e2e", "pending", "runs"),
            )
        }
        assert closed(known, RUN, "cancelled") == [
            CommitStatus("kanvaro/unit", "error", "cancelled", RUN)
        ]
        left = INTO_MAIN.orphan(known, ["kanvaro/unit"])
        assert [each.context for each in left] == ["kanvaro/e2e"]


class TestTheContexts:
    """A status belongs to a commit, which may be the head of pull requests into several bases."""

    def test_of_the_deploy_branch_alone_are_those_that_are_required(self):
        into_main = Contexts.into(MAIN, MAIN)
        assert (into_main.summary, into_main.of("unit")) == ("kanvaro", "kanvaro/unit")
        into_another = Contexts.into("refs/heads/main/unit", MAIN)
        assert into_another.summary == "kanvaro:main/unit"
        assert into_another.of("unit") == "kanvaro:main/unit:unit"

    def test_name_their_check_and_know_those_of_another_base(self):
        into_main, into_v1 = Contexts.into(MAIN, MAIN), Contexts.into("refs/heads/v1", MAIN)
        assert [into_main.check_of(into_main.of(check)) for check in ("", "unit")] == ["", "unit"]
        assert [into_v1.check_of(into_v1.of(check)) for check in ("", "unit")] == ["", "unit"]
        assert [into_main.check_of(into_v1.of(check)) for check in ("", "unit")] == [None, None]
        assert [into_v1.check_of(into_main.of(check)) for check in ("", "unit")] == [None, None]
        assert is_summary(into_v1.summary)
        assert not is_summary(into_v1.of("unit"))

    @given(st.lists(st.from_regex(r"[a-z0-9./+@-]{1,6}", fullmatch=True), min_size=2, unique=True))
    def test_are_never_the_same_for_two_bases(self, names):
        checks = ("", "unit", "lint", *(n for n in names if re.fullmatch(r"[a-z][a-z0-9-]*", n)))
        told = [Contexts.into(f"refs/heads/{n}", f"refs/heads/{names[0]}") for n in names]
        shown = [each.of(check) for each in told for check in dict.fromkeys(checks)]
        assert len(set(shown)) == len(shown)

    def test_fit_however_long_the_name_of_the_branch_is(self):
        one, other = (Contexts.into(f"{LONG}{end}", MAIN) for end in "ab")
        assert len(one.of("a" * 40)) <= 255
        assert one.summary != other.summary
        assert one.summary.isprintable()
        assert one.summary.isascii()

    def test_of_another_base_are_left_alone(self):
        into_v1 = RunStatuses(Contexts.into("refs/heads/v1", MAIN), OTHER)
        waits = [each.status("e2e", "pending", "waits") for each in (INTO_MAIN, into_v1)]
        known = read_statuses(each.body() for each in waits)
        assert len(known) == 2
        assert [each.context for each in INTO_MAIN.orphan(known, [])] == ["kanvaro/e2e"]
        assert [each.context for each in into_v1.orphan(known, [])] == ["kanvaro:v1:e2e"]


def comment(number, author=OURS, body=f"{MARKER}\nold"):
    return Comment(number, author, body)


class TestTheComment:
    @pytest.mark.parametrize(
        ("there", "todo"),
        [
            ([], Todo(create=True)),
            ([comment(1, "mallory")], Todo(create=True)),
            ([comment(1, OURS, f"> {MARKER}")], Todo(create=True)),
            ([comment(1)], Todo(edit=1)),
            ([comment(1, body=f"{MARKER}\r\nnew\r\n")], Todo()),
            ([comment(5), comment(3), comment(4, "mallory")], Todo(edit=3, delete=(5,))),
        ],
    )
    def test_is_one_and_what_others_wrote_is_left_alone(self, there, todo):
        assert to_do(there, OURS, f"{MARKER}\nnew", is_worth_one=True) == todo

    def test_is_not_made_to_say_that_nothing_was_measured(self):
        assert to_do([], OURS, "x", is_worth_one=False).is_nothing
        assert to_do([comment(1)], OURS, "x", is_worth_one=False) == Todo(edit=1)

    def test_tells_the_change_where_it_is_known_and_unknown_where_it_is_not(self):
        now = Coverage(Covered(3, 4, 1, 2), {"a.ts": Covered(3, 4, 1, 2)})
        before = Coverage(Covered(2, 4, 1, 2), {"a.ts": Covered(2, 4, 1, 2)})
        told = markdown(Compared("a" * 40, "main", "b" * 40, now, before, ["a.ts", "b.md"]))
        assert "| lines | 75.0 % | +25.0 | 3 of 4 |" in told
        assert "| branches | 50.0 % | ±0.0 | 1 of 2 |" in told
        assert "| a.ts | 75.0 % | +25.0 | 1 |" in told
        told = markdown(Compared("a" * 40, "main", "b" * 40, now, None, []))
        assert "| unknown |" in told
        assert "is unknown" in told
        assert "touches no file" in told

    def test_fits_however_large_the_pull_request_is(self):
        paths = [f"{'*' * 300}{number}" for number in range(5000)]
        now = Coverage(Covered(0, 5000), dict.fromkeys(paths, Covered(0, 1)))
        told = markdown(Compared("a" * 40, "main", "b" * 40, now, now, paths))
        assert len(told) < 65_536
        assert "… and 4900 more files." in told

    @given(st.text(max_size=60))
    def test_shows_a_path_as_text_in_its_cell(self, path):
        now = Coverage(Covered(0, 1), {path: Covered(0, 1)})
        told = markdown(Compared("a" * 40, "main", "b" * 40, now, None, [path]))
        row = told.split("|---|---:|---:|---:|\n")[-1].splitlines()[0]
        plain = re.sub(r"\\.", "", row)
        assert plain.count("|") == 5
        assert not set("<>[]`*_") & set(plain)
