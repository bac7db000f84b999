//! What `aaw-protocol/benches/time.rs` measures as time, in instructions. What a function returns is dropped after it is
//! measured.

use std::time::Instant;

use aaw_protocol::server::ServerConnection;
use aaw_protocol::websocket::{FrameBuffer, MessageDecoder, Opcode, begin_frame};
use gungraun::{library_benchmark, library_benchmark_group, main};
use std::hint::black_box;

#[path = "../../../aaw-protocol/benches/samples/mod.rs"]
mod samples;

type Frames = (MessageDecoder, Vec<Vec<u8>>);

fn whole(frames: Vec<u8>) -> Frames {
    (samples::decoder(), vec![frames])
}

fn in_parts(frame: Vec<u8>) -> Frames {
    (samples::decoder(), samples::parts(&frame, 64 << 10))
}

#[library_benchmark]
#[bench::text_of_120_bytes(whole(samples::calls(1)))]
#[bench::texts_of_120_bytes(whole(samples::calls(32)))]
#[bench::ascii_10_kb(whole(samples::ascii(10_000)))]
#[bench::not_ascii_10_kb(whole(samples::not_ascii(10_000)))]
#[bench::ascii_500_kb_in_parts(in_parts(samples::ascii(500_000)))]
#[bench::not_ascii_500_kb_in_parts(in_parts(samples::not_ascii(500_000)))]
fn decode((mut decoder, mut parts): Frames) -> Frames {
    for part in &mut parts {
        samples::decode(&mut decoder, part, |text| {
            black_box(text);
        });
    }
    (decoder, parts)
}

#[library_benchmark]
#[bench::text_of_120_bytes(120)]
#[bench::text_of_10_kb(10_000)]
#[bench::text_of_500_kb(500_000)]
fn encode_header(len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    begin_frame(&mut out, Opcode::Text, black_box(len));
    out
}

#[library_benchmark]
#[bench::text_of_120_bytes(samples::call(1))]
fn codec(call: String) -> (String, Vec<u8>) {
    let mut out = Vec::with_capacity(256);
    samples::respond(&call, &mut out);
    (call, out)
}

type Calls = (ServerConnection, MessageDecoder, Vec<u8>, FrameBuffer);

fn connection(calls: usize) -> Calls {
    let mut out = FrameBuffer::default();
    out.tail().reserve(256 * calls);
    (samples::connection(), samples::decoder(), samples::calls(calls), out)
}

#[library_benchmark]
#[bench::call(connection(1))]
#[bench::calls(connection(32))]
fn answer((mut connection, mut decoder, mut calls, mut out): Calls) -> Calls {
    let now = Instant::now();
    samples::decode(&mut decoder, &mut calls, |text| samples::answer(&mut connection, now, text, &mut out));
    (connection, decoder, calls, out)
}

library_benchmark_group!(name = protocol, benchmarks = [decode, encode_header, codec, answer]);
main!(library_benchmark_groups = protocol);
