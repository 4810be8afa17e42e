"""Collects the scripts in these folders: each is one behaviour, named by it, and starts with the RFC that wants it.

They are run over IPv4 and IPv6, as they stand. The original tool takes them too, against a kernel; where Linux does
something else than the RFC, the script says so.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from pystack.testing.packetdrill import Settings
from pystack.testing.pytest_packetdrill import SUFFIX, ScriptFile, ScriptItem

SETTINGS = Settings(complete=True, tolerance_percent=0)
"""Virtual time is exact, and a script that is silent about a packet says that there is none."""

_NO_SACK = "SACK is not offered yet"

EXPECTED_TO_FAIL: dict[str, str] = {
    "cork/full_segments_leave": "TCP_CORK and MSG_MORE are not there yet",
    "cork/holds_back_what_is_not_full": "TCP_CORK and MSG_MORE are not there yet",
    "cork/msg_more_holds_back_once": "TCP_CORK and MSG_MORE are not there yet",
    "defer_accept/waits_for_data": "TCP_DEFER_ACCEPT is not a socket option yet",
    "dsack/inside_a_block_comes_before_it": _NO_SACK,
    "dsack/known_data_is_reported": _NO_SACK,
    "dsack/only_the_known_part": _NO_SACK,
    "ecn/echo_halves_the_window": "ECN is not negotiated yet",
    "ecn/is_agreed_on": "ECN is not negotiated yet",
    "ecn/is_asked_for": "ECN is not negotiated yet",
    "ecn/is_off_when_the_peer_does_not_agree": "ECN is not negotiated yet",
    "ecn/mark_is_echoed_until_cwr": "ECN is not negotiated yet",
    "ecn/pure_acks_are_not_marked": "ECN is not negotiated yet",
    "ecn/retransmissions_are_not_marked": "ECN is not negotiated yet",
    "frto/delivery_of_the_original_is_found": _NO_SACK,
    "options/everything_is_accepted": _NO_SACK,
    "options/everything_is_offered": _NO_SACK,
    "options/own_mss_by_setsockopt": "TCP_MAXSEG is not a socket option yet",
    "options/sack_only": _NO_SACK,
    "rack/lost_retransmission_is_found": _NO_SACK,
    "rack/one_segment_beyond_waits_a_quarter_round_trip": _NO_SACK,
    "rack/reordering_within_the_window_resends_nothing": _NO_SACK,
    "sack/block_grows": _NO_SACK,
    "sack/data_beyond_a_gap_is_reported": _NO_SACK,
    "sack/four_blocks_at_most": _NO_SACK,
    "sack/joined_blocks_become_one": _NO_SACK,
    "sack/newest_block_comes_first": _NO_SACK,
    "sack/rides_on_data": _NO_SACK,
    "sack/three_blocks_beside_timestamps": _NO_SACK,
    "sack_recovery/blocks_of_what_was_never_sent_are_ignored": _NO_SACK,
    "sack_recovery/limited_transmit": _NO_SACK,
    "sack_recovery/only_holes_are_resent": _NO_SACK,
    "sack_recovery/three_segments_beyond_resend_the_hole": _NO_SACK,
    "sack_recovery/window_is_reduced_once": _NO_SACK,
    "states/established/data_across_right_edge_is_cut": _NO_SACK,
    "states/established/data_at_last_octet_is_kept": _NO_SACK,
    "states/established/data_right_behind_window_is_answered": _NO_SACK,
    "tlp/last_segment_probes_after_two_round_trips": _NO_SACK,
    "tlp/new_data_is_the_better_probe": _NO_SACK,
    "tlp/only_once": _NO_SACK,
    "tlp/probe_shows_the_loss": _NO_SACK,
    "tlp/probe_that_repaired_a_loss_is_a_congestion_event": _NO_SACK,
    "tlp/unneeded_probe_costs_nothing": _NO_SACK,
    "undo/dsack_takes_a_reduction_back": _NO_SACK,
    "urgent/connection_goes_on": "SO_OOBINLINE is not a socket option yet",
    "user_timeout/ends_the_connection": "TCP_USER_TIMEOUT is not a socket option yet",
}
"""Scripts that are right and show where the stack is not yet: once it is, they must leave this list."""


class Script(ScriptFile):
    @override
    def collect(self) -> Iterator[ScriptItem]:
        name = self.path.relative_to(Path(__file__).parent).with_suffix("").as_posix()
        reason = EXPECTED_TO_FAIL.get(name)
        for item in super().collect():
            if reason is not None:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
            yield item


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Script | None:
    return Script.from_parent(parent, path=file_path, settings=SETTINGS) if file_path.suffix == SUFFIX else None
