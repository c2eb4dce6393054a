//! Connections that are closed for what was sent on them.

use postern_e2e::frames::{deflated, opcode};
use postern_e2e::{Frame, LengthForm, Request};

use crate::row::{Act, Row, by_client, by_service};

const PROTOCOL: &str = "protocol_error";
const NOT_UTF8: &str = "invalid_utf8";

pub(crate) fn rows() -> Vec<Row> {
    let all = [of_protocol(), of_compression(), of_service(), of_limits(), of_content(), of_rates()];
    all.into_iter().flatten().collect()
}

/// A connection that agrees on compression.
fn deflating() -> Request {
    Request::upgrade("/ws/inflates/").header("Sec-WebSocket-Extensions", "permessage-deflate")
}

fn of_protocol() -> Vec<Row> {
    let one = |opcode, payload: &[u8]| Frame::new(opcode, payload).masked();
    let cases = [
        (PROTOCOL, one(opcode::CLOSE, &[0x03, 0xed]).bytes(), "the code of a Close is none that may be sent"),
        (NOT_UTF8, one(opcode::CLOSE, b"\x03\xe8\xff").bytes(), "the reason of a Close is not UTF-8"),
        (PROTOCOL, Frame::continuation("x").masked().bytes(), "a continuation frame continues no message"),
        (PROTOCOL, Frame::ping([0; 126]).masked().bytes(), "a control frame is longer than 125 bytes"),
        (PROTOCOL, Frame::ping("x").masked().unfinished().bytes(), "a control frame is fragmented"),
        (PROTOCOL, one(opcode::CLOSE, b"x").bytes(), "a Close has half a code"),
        (
            PROTOCOL,
            [Frame::text("x").masked().unfinished().bytes(), Frame::text("x").masked().bytes()].concat(),
            "a message begins within another",
        ),
        (
            PROTOCOL,
            Frame::binary("x").masked().bytes_claiming(LengthForm::Sixteen, 1),
            "the length of a frame is not written in its shortest form",
        ),
        (
            PROTOCOL,
            Frame::binary("x").masked().bytes_claiming(LengthForm::SixtyFour, 1 << 63),
            "the top bit of the length of a frame is set",
        ),
        (PROTOCOL, Frame::binary("x").bytes(), "a frame of the client is not masked"),
        (PROTOCOL, Frame::binary("x").masked().rsv(4).bytes(), "a reserved bit is set"),
        (PROTOCOL, one(3, b"x").bytes(), "the opcode of a frame is reserved"),
    ];
    let request = || Request::upgrade("/ws/plain");
    let of = |(reason, bytes, cause)| {
        Row::new(cause, request(), Act::Sends(bytes), reason, by_client("protocol", cause))
    };
    let mut rows: Vec<Row> = cases.into_iter().map(of).collect();
    let text = Act::Sends(one(opcode::TEXT, b"\xff").bytes());
    let told = by_client("messages.utf8", "a text message is not UTF-8");
    rows.push(Row::new("text", request(), text, NOT_UTF8, told));
    let told = by_client("protocol", "the stream has trailers");
    rows.push(Row::new("trailers", request(), Act::SendsTrailers, PROTOCOL, told));
    rows
}

/// What messages say, and what a stream opens with.
fn of_content() -> Vec<Row> {
    let depth = "messages.max_json_depth";
    let tunnel = "SSH-2.0-OpenSSH_9.6\r\n";
    let cases = [
        ("[[1]]", "json_too_deep", by_client(depth, "it is nested deeper than 1")),
        ("{}{}", "schema_violation", by_client(depth, "it is no JSON")),
        (r#"{"a":1,"a":2}"#, "schema_violation", by_client(depth, "a member occurs twice")),
        (tunnel, "tunnel_detected", by_client("messages.tunnels", "it opens SSH")),
    ];
    let of = |(text, reason, told): (&'static str, _, String)| {
        let sends = Act::Sends(Frame::text(text).masked().bytes());
        Row::new(text, Request::upgrade("/ws/read"), sends, reason, told)
    };
    let mut rows: Vec<Row> = cases.into_iter().map(of).collect();
    let greets = Act::Hears(Frame::text(tunnel).bytes());
    let told = by_service("messages.tunnels", "it opens SSH");
    rows.push(Row::new("a service", Request::upgrade("/ws/read"), greets, "tunnel_detected", told));
    rows
}

fn of_compression() -> Vec<Row> {
    let blocks = [0x02, 0x08, 0x20, 0x80, 0x00].repeat(40);
    let cases: [(&[u8], &str); 3] = [
        (b"\xff\xff\xff", "a compressed message cannot be inflated"),
        (&blocks, "a compressed message has too many blocks for what it inflates to"),
        (b"\xf2\x48", "a compressed message ends within a block"),
    ];
    let sends = |payload: &[u8]| Act::Sends(Frame::new(opcode::TEXT, payload).rsv(4).masked().bytes());
    let of = |(payload, cause)| {
        Row::new(cause, deflating(), sends(payload), PROTOCOL, by_client("protocol", cause))
    };
    let mut rows: Vec<Row> = cases.into_iter().map(of).collect();
    let bomb = deflated(&[b'a'; 2000]);
    let told = by_client(
        "messages.max_message_bytes",
        "the bytes that a message inflates to are 2000, and 1024 may be",
    );
    rows.push(Row::new("a bomb", deflating(), sends(&bomb), "message_too_big", told));
    rows
}

/// What the service sends is judged as well.
fn of_service() -> Vec<Row> {
    let big = [Frame::binary([0; 8]).unfinished().bytes(), Frame::continuation([0; 8]).bytes()].concat();
    let cases = [
        (PROTOCOL, "protocol", Frame::binary("x").masked().bytes(), "a frame of the service is masked"),
        (
            NOT_UTF8,
            "upstream_messages.utf8",
            Frame::new(opcode::TEXT, b"\xff").bytes(),
            "a text message is not UTF-8",
        ),
        (
            "frame_too_big",
            "upstream_messages.max_frame_bytes",
            Frame::binary([0; 9]).bytes(),
            "the bytes of a frame are 9, and 8 may be",
        ),
        (
            "message_too_big",
            "upstream_messages.max_message_bytes",
            big,
            "the bytes of a message are 16, and 12 may be",
        ),
    ];
    let of = |(reason, rule, bytes, cause)| {
        Row::new(cause, Request::upgrade("/ws/hears"), Act::Hears(bytes), reason, by_service(rule, cause))
    };
    let mut rows: Vec<Row> = cases.into_iter().map(of).collect();
    let unread = Act::Hears(Frame::binary([0; 2000]).bytes());
    let told = "rule=backpressure cause=\"the unread bytes are 2004, and 1000 may be\"";
    rows.push(Row::new("unread", Request::upgrade("/ws/behind"), unread, "backlog_exceeded", told));
    rows
}

fn of_limits() -> Vec<Row> {
    let binary = |payload: &[u8]| Frame::binary(payload).masked().unfinished().bytes();
    let more = |payload: &[u8]| Frame::continuation(payload).masked().unfinished().bytes();
    let cases = [
        (
            "frame_too_big",
            Frame::binary([0; 9]).masked().bytes(),
            "messages.max_frame_bytes",
            "the bytes of a frame are 9, and 8 may be",
        ),
        (
            "message_too_big",
            [binary(&[0; 8]), more(&[0; 8])].concat(),
            "messages.max_message_bytes",
            "the bytes of a message are 16, and 12 may be",
        ),
        (
            "too_many_fragments",
            [binary(b""), more(b""), more(b"")].concat(),
            "messages.max_fragments",
            "the fragments of a message are 3, and 2 may be",
        ),
    ];
    let request = || Request::upgrade("/ws/small");
    let of = |(reason, bytes, rule, cause)| {
        Row::new(cause, request(), Act::Sends(bytes), reason, by_client(rule, cause))
    };
    let mut rows: Vec<Row> = cases.into_iter().map(of).collect();
    let text = Act::Sends(Frame::text("x").masked().bytes());
    rows.push(Row::new("a text", request(), text, "type_denied", "rule=messages.types side=client"));
    rows
}

fn of_rates() -> Vec<Row> {
    let cases = [
        ("message_rate", "/ws/talks", Frame::binary("x").masked().bytes().repeat(2)),
        ("byte_rate", "/ws/weighs", Frame::binary("xx").masked().bytes()),
        ("control_rate", "/ws/pings", Frame::ping("x").masked().bytes().repeat(2)),
    ];
    let of = |(reason, path, bytes)| {
        Row::new(reason, Request::upgrade(path), Act::Sends(bytes), reason, "rule=rates[1] side=client")
    };
    cases.into_iter().map(of).collect()
}
