"""Recorded traces become event sequences, coarsely and without secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.errors import ValidationError
from kimera.memory import Memory
from kimera.memory.symbols import clean_events
from kimera.memory.traces import FORMATS, arguments, convert, value_text

SPAN = {"traceId": "t1", "name": "call", "kind": 3, "status": {"code": 2}}
DOCUMENT = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        SPAN | {"spanId": "b", "startTimeUnixNano": "20"},
                        SPAN | {"spanId": "a", "startTimeUnixNano": "20", "kind": "SPAN_KIND_SERVER", "status": {}},
                        {
                            "traceId": "t1",
                            "spanId": "c",
                            "name": "tool",
                            "startTimeUnixNano": 3,
                            "attributes": [
                                {"key": "gen_ai.tool.name", "value": {"stringValue": "search"}},
                                {"key": "http.response.status_code", "value": {"intValue": "404"}},
                                {"key": "user.email", "value": {"stringValue": "someone@example.org"}},
                            ],
                        },
                    ]
                }
            ]
        }
    ]
}


def test_the_example_of_the_design() -> None:
    """Promise: a tool call becomes tool, argument and coarse value symbols, sorted."""
    call = {"name": "search", "arguments": {"q": "cats", "limit": 250}}
    log = [{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}]
    assert ("arg:limit=~2e2", "arg:q=cats", "tool:search") == convert(log, "mcp")[0].events[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (100, "100"), (-100, "-100"), (101, "~1e2"), (3.0, "3"), (0.06, "~6e-2"),
        (-1234, "~-1e3"), (10**400, "~1e400"), ("x" * 64, "x" * 64), ([1, 2], "list:2"), ({"a": 1}, "object:1"),
        (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_values_are_made_coarse(value: Any, text: str) -> None:
    """Promise: small whole numbers and short text stay, the rest keeps its size only."""
    assert text == value_text(value)


def test_long_or_unfit_text_is_named_by_its_hash() -> None:
    """Promise: text over 64 characters, with U+0000 or with half a surrogate pair never enters as it is."""
    assert all(value_text(text).startswith("sha256:") for text in ("x" * 65, "a\0b", "\ud800"))


@pytest.mark.parametrize("key", ["api_key", "apiKey", "X-Auth-Token", "PASSWORD", "set-cookie", "client.secret"])
def test_values_of_credentials_never_enter(key: str) -> None:
    """Promise: an argument named like a credential is redacted, whatever it holds; max_tokens is none."""
    symbols = arguments({key: "hunter2", "deep": {key: "hunter2"}, "max_tokens": 7})
    assert "hunter2" not in str(symbols) and "arg:max_tokens=7" in symbols
    assert {f"arg:{key}=redacted", f"arg:deep.{key}=redacted"} <= set(symbols)
    assert (f"arg:{key}=redacted",) == arguments({key: {"a": "hunter2"}})


def test_spans_stand_in_order_of_start_then_id() -> None:
    """Promise: a trace's spans are ordered by start time, then span id; only listed attributes enter."""
    (trace,) = convert([DOCUMENT], "otlp")
    assert (
        ("attr:http.response.status_code=~4e2", "kind:unspecified", "span:tool", "status:unset", "tool:search"),
        ("kind:server", "span:call", "status:unset"),
        ("kind:client", "span:call", "status:error"),
    ) == trace.events


def test_message_logs_say_how_a_call_ended_where_they_know() -> None:
    """Promise: tool calls of the three message formats carry name, arguments and the status the log tells."""
    use = {"type": "tool_use", "id": "u1", "name": "read", "input": {"path": "a.txt"}}
    ended = {"type": "tool_result", "tool_use_id": "u1", "is_error": True, "content": "no"}
    claude = [[{"role": "assistant", "content": [use]}, {"role": "user", "content": [ended]}]]
    assert (("arg:path=a.txt", "status:error", "tool:read"),) == convert(claude, "anthropic")[0].events
    call = {"id": "c", "type": "function", "function": {"name": "read", "arguments": json.dumps({"path": "a.txt"})}}
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call]}]
    assert (("arg:path=a.txt", "tool:read"),) == convert(chat, "openai")[0].events
    asked = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "read"}}
    for answer, status in (({"result": {"isError": True}}, "error"), ({"result": {}}, "ok"), ({"error": {}}, "error")):
        rpc = [asked, {"jsonrpc": "2.0", "id": 7, **answer}]
        assert ((f"status:{status}", "tool:read"),) == convert(rpc, "mcp")[0].events


def test_a_missions_tracks_are_traces_of_their_own() -> None:
    """Promise: tracks that ran side by side are told apart; progress and repeats leave no trace."""

    def event(seq: int, type_: str, track: str | None, **payload: Any) -> dict[str, Any]:
        return {"mission_id": "m1", "seq": seq, "type": type_, "track": track, "payload": payload}

    log = [
        event(4, "claim.checked", "ds_star", claim_id="n2", ok=True),
        event(1, "plan.step", "ds_star", kind="phase", step="analyze"),
        event(3, "claim.checked", "ds_star", claim_id="n1", ok=True),
        event(2, "plan.step", None, kind="progress", goal="Reading"),
        event(5, "mission.state", None, old="RUNNING", new="FUSION"),
    ]
    assert {
        "m1:ds_star": (("event:plan.step", "kind:phase", "phase:analyze"), ("event:claim.checked",)),
        "m1": (("event:mission.state", "new:FUSION", "old:RUNNING"),),
    } == {trace.trace: trace.events for trace in convert(log, "kimera")}


def test_a_trace_is_learned_once_and_all_traces_or_none() -> None:
    """Promise: ingesting twice teaches once; one wrong record and nothing is learned; learn=False only tells."""
    with Memory.open(":memory:") as memory:
        told = memory.ingest([DOCUMENT], "otlp", learn=False)
        first = memory.ingest([DOCUMENT], "otlp")
        again = memory.ingest([DOCUMENT], "otlp")
        assert told.traces[0].pattern == first.traces[0].pattern == again.traces[0].pattern
        assert (1, 1) == (memory.seq, memory.pattern(str(first.traces[0].pattern)).frequency)
        with pytest.raises(ValidationError, match=r"records\[1\]"):
            memory.ingest([DOCUMENT | {}, {"resourceSpans": 3}], "otlp")
        assert 1 == memory.seq


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "type", "tool_calls", "content", "function", "traceId", "name"]), inner
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("format_", FORMATS)
@given(records=st.lists(JSON, max_size=4))
def test_any_json_is_read_or_refused_by_name(format_: str, records: list[Any]) -> None:
    """Promise: whatever the records hold, the answer is traces of fit symbols or one clear error."""
    try:
        traces = convert(records, format_)
    except ValidationError as error:
        assert "BODY_INVALID" == error.code
    else:
        for trace in traces:
            clean_events(trace.events, vectors={})
