//! What applications send first, none of which is a tunnel.

use super::encode::{Value, ber, bson, cbor, message_pack, mqtt, protobuf};
use super::openings::{bytes, feed};
use super::*;

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn binaries(notations: &[&str]) -> Vec<Vec<u8>> {
    notations.iter().map(|notation| bytes(notation)).collect()
}

fn json() -> Vec<Vec<u8>> {
    texts(&[
        "{}",
        "[]",
        "null",
        "0",
        "42",
        "220",
        "\"220 \"",
        "\"PING\"",
        r#"{"type":"ping"}"#,
        r#"{"type":"auth","token":"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2ln"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":2,"method":"b"}]"#,
        "{\n  \"op\": \"subscribe\",\n  \"args\": [\"trades\"]\n}",
        "\u{feff}{\"type\":\"hello\"}",
        r#" {"a":1}"#,
        "{\"type\":\"a\"}\n{\"type\":\"b\"}\n",
        "\u{1e}{\"type\":\"a\"}\n",
        r#"{"op":10,"d":{"heartbeat_interval":41250}}"#,
        r#"{"op":2,"d":{"token":"x","intents":513}}"#,
        r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\"}"}"#,
        r#"{"id":1,"connect":{"token":"x","name":"js"}}"#,
        r#"{"protocols":["http://livereload.com/protocols/official-7"],"command":"hello"}"#,
        r#"{"msg":"connect","version":"1","support":["1","pre2","pre1"]}"#,
        r#"{"type":"welcome"}"#,
        r#"{"command":"subscribe","identifier":"{\"channel\":\"ChatChannel\"}"}"#,
        r#"{"version":1,"topic":"log","message":"GET / HTTP/1.1"}"#,
        r#"{"action":"SSH-2.0-OpenSSH_9.6"}"#,
        r#"["REQ","sub1",{"kinds":[1],"limit":10}]"#,
        r#"["EVENT",{"id":"4376c65d2f232afbe9b882a35baa4f6fe8667c4e684749af565f981833ed6a65"}]"#,
        r#"[null,"1","room:lobby","phx_join",{}]"#,
        r#"["1","1","rooms:a","phx_join",{}]"#,
        r#"[1,"realm1",{"roles":{"caller":{},"callee":{},"subscriber":{}}}]"#,
        r#"[2,9129137332,{"roles":{"broker":{}}}]"#,
        r#"[2,"19223201","BootNotification",{"reason":"PowerUp"}]"#,
        r#"[3,"19223201",{"currentTime":"2025-03-03T12:00:00Z","interval":300,"status":"Accepted"}]"#,
    ])
}

fn realtime() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"type":"session.update","session":{"modalities":["text","audio"],"voice":"alloy"}}"#,
        r#"{"type":"input_audio_buffer.append","audio":"UklGRiQAAABXQVZFZm10IBAAAAABAAEA"}"#,
        r#"{"type":"session.created","event_id":"event_1","session":{"id":"sess_1"}}"#,
        r#"{"type":"response.create"}"#,
        r#"{"setup":{"model":"models/gemini-2.0-flash-exp"}}"#,
        r#"{"text":" ","voice_settings":{"stability":0.5},"xi_api_key":"x"}"#,
        r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#,
        r#"{"type":"connection_init"}"#,
        r#"{"type":"connection_init","payload":{"Authorization":"Bearer x"}}"#,
        r#"{"type":"connection_ack"}"#,
        r#"{"id":"1","type":"subscribe","payload":{"query":"subscription { a }"}}"#,
        r#"{"type":"start_ack","payload":null}"#,
        "{\"protocol\":\"json\",\"version\":1}\u{1e}",
        "{\"protocol\":\"messagepack\",\"version\":1}\u{1e}",
        "{}\u{1e}",
        "{\"type\":6}\u{1e}",
        "0{\"sid\":\"lv_VI97HAXpY6yYWAAAC\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000}",
        "2probe",
        "3probe",
        "2",
        "3",
        "5",
        "6",
        "40",
        "40{\"token\":\"123\"}",
        "40/admin,",
        "42[\"chat message\",\"hello\"]",
        "451-[\"file\",{\"_placeholder\":true,\"num\":0}]",
        "o",
        "h",
        "a[\"{}\"]",
        "[\"{\\\"type\\\":\\\"ping\\\"}\"]",
        "<open xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" to=\"example.com\" version=\"1.0\"/>",
        "<auth xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\" mechanism=\"PLAIN\">AGE=</auth>",
        "<?xml version='1.0'?><stream:stream to='example.com'>",
        "<iq type=\"get\" id=\"1\"/>",
    ])
}

/// Protocols of lines that have a WebSocket of their own, or are spoken in one by those who want them there.
fn lines() -> Vec<Vec<u8>> {
    texts(&[
        "CONNECT\naccept-version:1.0,1.1,1.2\nheart-beat:4000,4000\n\n\0",
        "CONNECT\r\naccept-version:1.2\r\nhost:example.com\r\n\r\n\0",
        "STOMP\naccept-version:1.2\nhost:example.com\n\n\0",
        "CONNECTED\nversion:1.2\n\n\0",
        "\n",
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"nats.ws\"}\r\nPING\r\n",
        "INFO {\"server_id\":\"NC\",\"version\":\"2.10.1\",\"proto\":1}\r\n",
        "PING\r\nSUB foo 1\r\n",
        "SUB updates 1\r\nPING\r\n",
        "+OK\r\n",
        "-ERR 'Authorization Violation'\r\n",
        "CAP REQ :twitch.tv/tags twitch.tv/commands\r\n",
        "PASS oauth:abcdef\r\nNICK justinfan123\r\n",
        "NICK guest\r\nUSER guest 0 * :Guest\r\n",
        "USER guest 0 * :Guest\r\nNICK guest\r\n",
        "USER guest 8 * :real name\r\n",
        "PING :tmi.twitch.tv\r\n",
        "PING 1741003200\r\n",
        ":tmi.twitch.tv 001 justinfan123 :Welcome, GLHF!\r\n",
        "NOTICE AUTH :*** Looking up your hostname...\r\n",
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WSS 1.invalid;branch=z9hG4bK1\r\n",
        "OPTIONS sip:bob@example.com SIP/2.0\r\nMax-Forwards: 70\r\n",
        "SIP/2.0 200 OK\r\n",
        "MSRP d93kswow SEND\r\nTo-Path: msrp://bob.example.com:8888/9di4ea;ws\r\n",
        "OPTIONS rtsp://192.0.2.1/axis-media/media.amp RTSP/1.0\r\nCSeq: 1\r\n",
        "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n",
        "DESCRIBE rtsp://192.0.2.1/stream RTSP/1.0\r\n",
        "GET_PARAMETER rtsp://192.0.2.1/stream RTSP/1.0\r\n",
        "RTSP/1.0 200 OK\r\n",
        "Path: speech.config\r\nX-RequestId: 123e4567e89b12d3a456426614174000\r\n\r\n{}",
        "Content-Length: 52\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}",
        "WSP/1.1 INIT\r\nproto: rtsp\r\n",
        "4.sync,8.12345678;",
        "5.ready,37.$260d01da-779b-4ee9-afc1-c16bae885cc7;",
        "6.select,3.vnc;",
        "{\"AuthToken\":\"\",\"columns\":80,\"rows\":24}",
        "0ls -l\r",
        "1{\"columns\":80,\"rows\":24}",
        "1aGVsbG8=",
        "2{\"fontSize\":14}",
        "v=0\r\no=- 46117317 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
        "a=candidate:1 1 UDP 2130706431 192.0.2.1 8998 typ host",
        "event: message\ndata: {}\n\n",
        "data: hello\n\n",
        "id,name\r\n1,alice\r\n",
        "SELECT 1\r\n",
        "SELECT 1",
        "SELECT * FROM users LIMIT 10;\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "Host: example.com\r\n",
        "# comment\r\n",
        "LOGIN alice secret\r\n",
        "RFB",
        "* OK IMAP ready\r\n",
        "*** welcome ***\r\n",
        "*1 point",
        "*2\r\nhello\r\n",
        "$5\r\nhello\r\n",
    ])
}

fn chat() -> Vec<Vec<u8>> {
    texts(&[
        "220 people joined",
        "220 people joined the FTP channel",
        "220 people joined\r\n",
        "220 people joined the FTP channel\r\n",
        "220 users in example.com\r\n",
        "220-240 V",
        "220 V, 50 Hz\r\n",
        "220.5",
        "2200",
        "220 ",
        "220",
        "220 www.example.com is down\r\n",
        "PING",
        "PING\n",
        "ping",
        "ping\r\n",
        "PONG",
        "PING hello\r\n",
        "PING\r\nhow are you?",
        "QUIT",
        "quit\r\n",
        "QUIT smoking\r\n",
        "INFO",
        "INFO: server started\r\n",
        "INFO memory is low\r\n",
        "INFO please\r\n",
        "info\r\n",
        "AUTH",
        "AUTH eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl\r\n",
        "AUTH secret",
        "AUTH is not what I said\r\n",
        "AUTHENTICATE alice\r\n",
        "HELLO world",
        "HELLO world\r\n",
        "HELLO 4\r\n",
        "HELLO 3",
        "HELO world",
        "HELO world\r\n",
        "helo there\r\n",
        "EHLO?",
        "hello\r\n",
        "hello",
        "GET lost",
        "GET lost\r\n",
        "GET /users",
        "GET / please HTTP/1.1 is what I would say",
        "GET /users {\"page\":1}",
        "POST /messages\n{\"text\":\"hi\"}",
        "PUT it back",
        "DELETE everything",
        "CONNECT me with HTTP/1.1 people\r\n",
        "CONNECT example.com:443",
        "CONNECT",
        "HEAD first",
        "OPTIONS * are many",
        "PATCH notes",
        "TRACE the call",
        "PRI * what?",
        "USER joined",
        "USER joined\r\n",
        "USER alice",
        "USER alice\r\nJOIN lobby\r\n",
        "* hello",
        "*",
        "*1",
        "SSH",
        "SSH is down again",
        "SSH-2 or SSH-1?",
        "SSH-2.0",
        "SSH-2.0- what",
        "RFB 3.8 or 3.3?",
        "RFB 003 is old\n",
        "AMQP or MQTT?",
        "AMQP0091",
        "TLS 1.3",
        "Hi!",
        "a",
        " ",
        "\u{1f44b}",
        "Grüße aus Köln",
        "こんにちは",
        "привет",
        "/join #lobby",
        "/quit",
        "0",
        "00",
        "0\u{30}",
        "012345",
        "true",
        "yes, 3:00 is fine",
        "550e8400-e29b-41d4-a716-446655440000",
        "220e8400-e29b-41d4-a716-446655440000",
        "1741003200",
        "1741003200000",
        "2025-03-03T12:00:00Z",
        "AAAAAAAAAAA=",
        "SGVsbG8sIHdvcmxkIQ==",
        "MDEyMzQ1Njc4OWFiY2RlZg==",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "a=1&b=2",
        "lat=52.5,lon=13.4",
        "52.5200;13.4050",
        "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n",
        "\u{1b}[2J",
        "\u{1b}[0c",
        "\r",
        "\r\n",
        "\u{3}",
        "ls\r\n",
        "root@host:~# ",
        "login: ",
        "<html>",
        "<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
        "---\nname: x\n",
        "key = 'value'\n",
        "T 1 2 3",
        "1,2,3",
        "X",
        "rs",
        "reload",
    ])
}

/// What a binary format is asked to write.
fn values() -> Vec<Value> {
    use Value::{Bool, Bytes, Float, List, Map, Number, Text};
    vec![
        Number(0),
        Number(4),
        Number(5),
        Number(300),
        Text("PING"),
        Text("GET / HTTP/1.1\r\n"),
        Text("SSH-2.0-OpenSSH_9.6"),
        Float(5.0),
        Bool(true),
        Bytes(vec![5, 1, 0]),
        Bytes(vec![0; 40]),
        Map(vec![("type", Text("hello"))]),
        Map(vec![("v", Number(5)), ("n", Number(1)), ("m", Number(0))]),
        Map(vec![("v", Number(4)), ("c", Number(1)), ("p", Number(80))]),
        Map(vec![("op", Number(1)), ("payload", Bytes(vec![0x16, 3, 1, 0, 0xfc, 1]))]),
        Map(vec![("x", Float(1.5)), ("y", Float(-2.25)), ("alive", Bool(true)), ("name", Text("alice"))]),
        Map(vec![("user", Text("alice")), ("database", Text("shop"))]),
        List(vec![Number(5), Number(1), Number(0)]),
        List(vec![Number(3), Number(0), Number(0), Number(11)]),
        List(vec![Number(1), Text("realm1"), Map(vec![("roles", Map(vec![("caller", Map(vec![]))]))])]),
        List((0..20).map(Number).collect()),
        Map(vec![("a", List(vec![Text("b"); 3])), ("c", Map(vec![("d", Number(60000))]))]),
    ]
}

/// Each value in each format, plain and with its length ahead of it.
fn encoded() -> Vec<Vec<u8>> {
    let write = |value: &Value| [message_pack(value), cbor(value), protobuf(value), bson(value)];
    values().iter().flat_map(write).flat_map(with_lengths).collect()
}

/// A message, and the same with its length ahead of it as programs write that.
fn with_lengths(bytes: Vec<u8>) -> [Vec<u8>; 6] {
    let len = bytes.len() as u32;
    let behind = |head: &[u8]| [head, &bytes].concat();
    [
        behind(&len.to_be_bytes()),
        behind(&len.to_le_bytes()),
        behind(&(len as u16).to_be_bytes()),
        behind(&[len as u8]),
        behind(&[&[0], &len.to_be_bytes()[..]].concat()),
        bytes,
    ]
}

fn pictures_and_sounds() -> Vec<Vec<u8>> {
    let mut all = binaries(&[
        "89 'PNG' 0d0a1a0a 0000000d 'IHDR' 00000100 00000100 08 06 00 00 00",
        "ffd8ffe0 0010 'JFIF' 00 0101 00 0048 0048 0000",
        "ffd8ffe1 1234 'Exif' 0000",
        "'GIF89a' 0100 0100 80 00 00",
        "'RIFF' 24000000 'WEBPVP8 '",
        "'RIFF' 24080000 'WAVEfmt ' 10000000 0100 0100 803e0000 007d0000 0200 1000",
        "'OggS' 00 02 0000000000000000 01000000 00000000 1234abcd 01 13 'OpusHead' 01 02 3801 80bb0000 0000 00",
        "'fLaC' 00000022",
        "'ID3' 04 00 00 00000000",
        "fffb9064 00000000",
        "fff15080 02bffc",
        "78 08 80 1c 4f 9d 2e 11 7a c3",
        "fc ff fe",
        "f8 ff fe",
        "48 01 02 03 04",
        "00 08 01 02 03 04 05 06",
        "1a45dfa3 9f 4286 81 01 42f7 81 01 42f2 81 04 42f3 81 08 4282 84 'webm'",
        "00000018 'ftypmp42' 00000000 'mp42isom'",
        "0000001c 'ftypisom' 00000200 'isomiso2mp41'",
        "00000010 'moof'",
        "00000001 67 42c01e d9",
        "000001ba 44000401",
        "47 4000 10 0000b0 0d",
        "'FLV' 01 05 00000009 00000000",
        "'jsmp' 0140 00f0",
        "0061736d 01000000",
        "'%PDF-1.7' 0a",
        "'PK' 0304 1400 0000 0800",
        "1f8b0800 00000000 0003",
        "28b52ffd 2400",
        "'BM' 36000c00 00000000 36000000",
        "'glTF' 02000000 00100000",
    ]);
    let samples =
        |sample: fn(u16) -> i16| (0..160).flat_map(|at| sample(at).to_le_bytes()).collect::<Vec<u8>>();
    all.push(samples(|_| 0));
    all.push(samples(|_| 1));
    all.push(samples(|at| ((f32::from(at) * 0.1).sin() * 8000.0) as i16));
    all.push(samples(|at| (at as i16 % 7) - 3));
    all.push(samples(|at| i16::try_from(at).unwrap()));
    all.push((0..160_u8).map(|at| (f32::from(at) * 0.1).sin() * 0.3).flat_map(f32::to_le_bytes).collect());
    all.push(vec![0xff; 160]);
    all.push(vec![0x80; 160]);
    all.push([5, 1, 0].repeat(60));
    all.push([4, 1, 0, 80].repeat(60));
    all
}

fn binary_protocols() -> Vec<Vec<u8>> {
    let mut all = vec![
        mqtt(0x10, &bytes("0004 'MQTT' 04 02 003c 0005 'alice'")),
        mqtt(0x10, &bytes("0004 'MQTT' 05 02 003c 05 1100000e10 0005 'alice'")),
        mqtt(0x10, &bytes("0006 'MQIsdp' 03 02 003c 0001 'a'")),
        mqtt(0x20, &[0, 0]),
        mqtt(0x20, &[0, 0, 0]),
        mqtt(0xc0, &[]),
        mqtt(0xd0, &[]),
        mqtt(0xe0, &[]),
        mqtt(0x30, &bytes("0003 'a/b' '{}'")),
        mqtt(0x82, &bytes("0001 0003 'a/b' 00")),
        ber(0x30, &[ber(2, &[1]), ber(2, &[1])].concat()),
        // A signature of ECDSA, a key of RSA, a certificate, a request of SNMP, and one of OCSP.
        ber(0x30, &[ber(2, &[0x21; 33]), ber(2, &[0x45; 32])].concat()),
        ber(0x30, &[ber(2, &[0]), ber(2, &[0x61; 256]), ber(2, &[1, 0, 1])].concat()),
        ber(0x30, &ber(0x30, &[ber(0xa0, &ber(2, &[2])), ber(2, &[9; 16]), vec![0x30; 200]].concat())),
        ber(0x30, &[ber(2, &[1]), ber(4, b"public"), ber(0xa0, &[2, 1, 1])].concat()),
        ber(0x30, &[ber(2, &[0]), ber(0x0a, &[0])].concat()),
    ];
    all.extend(binaries(&[
        // Yjs: the first step of a synchronisation, an update, awareness, a question for it, and Hocuspocus' names ahead.
        "00 00 01 00",
        "00 02 05 0102030405",
        "01 0a 01 05 01 '{}'",
        "03",
        "05 'notes' 00 00 01 00",
        "05 'notes' 02 00 '{\"token\":\"x\"}'",
        "04 'room' 00 00 01 00",
        // Kubernetes: channels of exec, and ports and data of forwarding.
        "00",
        "01 'bash: no job control' 0a",
        "04 '{\"Width\":80,\"Height\":24}'",
        "00 901f",
        "01 901f",
        // Games: opcodes and versions.
        "fe 05000000",
        "ff 01000000",
        "05 00",
        "05 01",
        "05 ff",
        "05 01 00 00",
        "05 00 00",
        "05 0100 0200 0300",
        "05 02 00 00",
        "05 02 04 00",
        "05 03 00 01",
        "05 01 04",
        "04",
        "04 00 00 00",
        "04 01",
        "04 01 00 00 00 00 00 00 00",
        "04 01 00 00 00 01 00 00 00",
        "04 01 00 0000803f 00",
        "04 01 20 9c 5d 99 01 00 00",
        "04 01 9f3c 2a71 3106 00",
        "04 01 0050 0000 0005 00",
        "03 00 00 00",
        "03 00 00 0b",
        "03 00 00 0b 00 00 00 00 00 00 00",
        "03 00 00 0b 06 01 02 03 04 05 06",
        "03 00 10 00 'hello, hello, hello'",
        "16 03 01",
        "16 03 01 00 05 01 02 03 04 05",
        "16 03 03 00 10 14 00 00 0c 1234567890abcdef12345678",
        "16 01 02 03 04 05 06 07",
        "17 03 03 00 10 00112233",
        "15 03 01 00 02 02 28",
        // gRPC-Web, Thrift, Cap'n Proto, FlatBuffers, Avro, Ethereum, and Bitcoin.
        "00 00000005 0a03 'abc'",
        "01 '\u{7f}' 0d0a0d0a",
        "8001 0001 00000004 'ping' 00000000",
        "00000000 05000000 00000000 01000100",
        "10000000 0c001000 0c000b00 04000c00 06000000",
        "'Obj' 01 02 16 'avro.schema'",
        "f9beb4d9 'version' 0000000000 66000000",
        // Lengths, counters, times and addresses.
        "0000000000000000",
        "0000000000000001",
        "0100000000000000",
        "00000008 00000001",
        "00000010 00030000",
        "00000010 00000000 00030000",
        "00000023 00030000 00000000",
        "00000008 04d20000",
        "4a000000",
        "4a00000009 '8.0'",
        "4a000000 0a 'hello' 00",
        "4a000001 0a '8.0.36' 00",
        "0a000000 0a '8.0.36' 00",
        "30000000 01000000 00000000",
        "30000000 01000000 00000000 d1070000",
        "30000000 01000000 01000000 dd070000 00000000 00 1b000000",
        "30000000 01000000 00000000 dd070000 00000000 05 1b000000",
        "30000000 01000000 00000000 dd070000 00000000 00 ff000000",
        "0000019559e1c000",
        "00c0e15995010000",
        "40b5e6a4 3e800000",
        "7f000001 1f90",
        "c0a8010a 0050",
        "550e8400e29b41d4a716446655440000",
        "'AMQP' 00 00 09 02",
        "'AMQP' ff ff ff ff",
        "'AMQP:' 00 00 09 01",
        "deadbeef",
        "cafebabe 00000034",
        "7f 'ELF' 02 01 01 00",
        "'SQLite format 3' 00",
    ]));
    all
}

pub(super) fn ordinary() -> Vec<Vec<u8>> {
    [json(), realtime(), lines(), chat(), encoded(), pictures_and_sounds(), binary_protocols()].concat()
}

fn is_tunnel(state: Recognition) -> bool {
    matches!(state, Recognition::Tunnel(_))
}

#[test]
fn no_ordinary_first_message_is_recognised_from_either_end_however_it_is_cut() {
    let all = ordinary();
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert!(distinct.len() >= 700, "{}", distinct.len());
    for bytes in &all {
        for from in [Peer::Client, Peer::Upstream] {
            for piece in [1, 2, 5, usize::MAX] {
                let state = feed(from, &[bytes], piece);
                assert!(!is_tunnel(state), "{state:?} from {from:?}: {}", bytes.escape_ascii());
            }
        }
    }
}

#[test]
fn no_two_ordinary_messages_are_recognised_in_one_or_one_after_the_other() {
    let all = ordinary();
    // What makes an opening of two messages that each nearly are one.
    let halves: [(&[u8], &[u8]); 3] =
        [(b"USER ", b"PASS "), (b"SSH-2.0", b"-"), (b"\x04\x01\0P\0\0\0\x05\0", b"")];
    let is_opening = |first: &[u8], second: &[u8]| {
        halves.iter().any(|(start, rest)| first.starts_with(start) && second.starts_with(rest))
    };
    // What is decided within the first message stays so.
    let is_open = |bytes: &Vec<u8>| {
        [Peer::Client, Peer::Upstream]
            .iter()
            .any(|from| Recogniser::new(*from).push(bytes) == Recognition::Undecided)
    };
    let firsts = all.iter().filter(|first| is_open(first));
    let pairs = firsts.flat_map(|first| all.iter().map(move |second| (first, second)));
    for (first, second) in pairs.filter(|(first, second)| !is_opening(first, second)) {
        let state = feed(Peer::Client, &[first, second], usize::MAX);
        assert!(!is_tunnel(state), "{state:?}: {} {}", first.escape_ascii(), second.escape_ascii());
        let state = feed(Peer::Upstream, &[&[&first[..], second].concat()], usize::MAX);
        assert!(!is_tunnel(state), "{state:?}: {} {}", first.escape_ascii(), second.escape_ascii());
    }
}

#[test]
fn ordinary_messages_are_suspect_for_a_few_bytes_unless_they_read_like_an_opening() {
    let decided_at = |bytes: &Vec<u8>| {
        let mut recogniser = Recogniser::new(Peer::Client);
        bytes.iter().take_while(|byte| recogniser.push(&[**byte]) == Recognition::Undecided).count()
    };
    let longest = |messages: Vec<Vec<u8>>| messages.iter().map(decided_at).max();
    assert_eq!(longest(json()), Some(3));
    assert_eq!(longest(realtime()), Some(2));
    // A length, of a picture's or of BSON, may be one of MongoDB's message, up to the fields behind it.
    assert_eq!(longest(pictures_and_sounds()), Some(8));
    assert_eq!(longest(encoded()), Some(12));
}
