"""Only what an earlier session of the same run has left is removed."""

from robonav_ray.nodes.orphans import orphans_among


def test_groups_of_this_run_that_still_hold_something_are_orphans() -> None:
    table = {
        "1": {"name": "session-0-77#123", "state": "CREATED"},
        "2": {"name": "session-0-77#124", "state": "REMOVED"},
        "3": {"name": "session-0-778#1", "state": "CREATED"},
        "4": {"name": "", "state": "PENDING"},
    }
    assert orphans_among(table, ("session-0-77#",)) == ["1"]
    assert orphans_among(table, ()) == []
