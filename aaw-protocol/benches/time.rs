//! The time that framing and the codec take: `cargo bench -p aaw-protocol --bench time`, and a part of a name after ` -- `.

use std::time::Instant;

use aaw_protocol::websocket::{FrameBuffer, Opcode, begin_frame};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

mod samples;

fn main() {
    divan::main();
}

/// Frames that arrive whole.
fn decode(bencher: Bencher<'_, '_>, frames: &[u8]) {
    let mut decoder = samples::decoder();
    bencher.counter(BytesCount::new(frames.len())).with_inputs(|| frames.to_vec()).bench_local_refs(|frames| {
        samples::decode(&mut decoder, frames, |text| {
            divan::black_box(text);
        });
    });
}

#[divan::bench(args = [1, 32])]
fn decode_texts_of_120_bytes(bencher: Bencher<'_, '_>, count: usize) {
    decode(bencher, &samples::calls(count));
}

#[divan::bench]
fn decode_10_kb_ascii(bencher: Bencher<'_, '_>) {
    decode(bencher, &samples::ascii(10_000));
}

#[divan::bench]
fn decode_10_kb_not_ascii(bencher: Bencher<'_, '_>) {
    decode(bencher, &samples::not_ascii(10_000));
}

/// A frame that arrives in parts of 64 KiB.
fn decode_parts(bencher: Bencher<'_, '_>, frame: &[u8]) {
    let mut decoder = samples::decoder();
    bencher.counter(BytesCount::new(frame.len())).with_inputs(|| samples::parts(frame, 64 << 10)).bench_local_refs(
        |parts| {
            for part in parts {
                samples::decode(&mut decoder, part, |text| {
                    divan::black_box(text);
                });
            }
        },
    );
}

#[divan::bench]
fn decode_500_kb_ascii_in_parts(bencher: Bencher<'_, '_>) {
    decode_parts(bencher, &samples::ascii(500_000));
}

#[divan::bench]
fn decode_500_kb_not_ascii_in_parts(bencher: Bencher<'_, '_>) {
    decode_parts(bencher, &samples::not_ascii(500_000));
}

#[divan::bench(args = [120, 10_000, 500_000])]
fn encode_header(bencher: Bencher<'_, '_>, len: usize) {
    let mut out = Vec::with_capacity(16);
    bencher.bench_local(|| {
        out.clear();
        begin_frame(divan::black_box(&mut out), Opcode::Text, divan::black_box(len));
    });
}

/// The codec alone: a call of 120 bytes, and its response in a frame.
#[divan::bench]
fn decode_call_and_encode_response(bencher: Bencher<'_, '_>) {
    let call = samples::call(1);
    let mut out = Vec::with_capacity(256);
    bencher.bench_local(|| {
        out.clear();
        samples::respond(divan::black_box(&call), divan::black_box(&mut out));
    });
}

/// Frames with calls, through the connection's state machine, to frames with responses.
#[divan::bench(args = [1, 32])]
fn answer_calls(bencher: Bencher<'_, '_>, count: usize) {
    let mut decoder = samples::decoder();
    let mut out = FrameBuffer::default();
    let calls = samples::calls(count);
    // Each id is used once.
    let inputs = || (samples::connection(), calls.clone());
    bencher.counter(ItemsCount::new(count)).with_inputs(inputs).bench_local_refs(|(connection, calls)| {
        let len = out.len();
        out.advance(len);
        let now = Instant::now();
        samples::decode(&mut decoder, calls, |text| samples::answer(connection, now, text, &mut out));
    });
}
