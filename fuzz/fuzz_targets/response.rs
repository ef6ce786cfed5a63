//! start_response, chunks and the end, in any order and with anything: what is sent agrees with what was promised.
#![no_main]
#![allow(dead_code, unreachable_pub, unused_imports, reason = "a part of the crate, included by path")]

#[path = "../../src/response/mod.rs"]
mod response;

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use response::{Asked, Ended, Framing, Head, Progress, Reply};

#[derive(Arbitrary, Debug)]
enum Step {
    Start { status: String, fields: Vec<(String, String)>, exc_info: bool },
    Chunk { data: Vec<u8>, only: bool },
}

fuzz_target!(|input: (bool, Vec<Step>)| {
    let (head_only, steps) = input;
    let asked = if head_only { Asked::HeadOnly } else { Asked::Whole };
    let (mut progress, mut framing, mut sent) = (Progress::Unstarted, None, 0_u64);
    let mut commit = |reply: Reply, framing: &mut Option<Framing>| {
        assert!(framing.replace(reply.framing).is_none(), "a second head");
        let bytes = reply.fields.iter().flat_map(|(_, value)| value.as_bytes()).chain(&reply.status.reason);
        assert!(bytes.clone().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f)));
        assert!((200..600).contains(&reply.status.code.as_u16()));
    };
    for step in steps {
        match step {
            Step::Start { status, fields, exc_info } => (progress, _) = progress.start(Head::new(&status, fields, 4_096), exc_info),
            Step::Chunk { data, only } => match progress.chunk(Bytes::from(data), asked, only) {
                Ok((next, step)) => {
                    progress = next;
                    if let Some(reply) = step.commit {
                        commit(*reply, &mut framing);
                    }
                    sent += step.data.len() as u64;
                    assert!(step.data.is_empty() || framing.is_some(), "a body before its head");
                }
                Err(next) => progress = next,
            },
        }
    }
    let whole = match progress.end(asked).1 {
        Ended::Commit(reply) => {
            commit(*reply, &mut framing);
            true
        }
        Ended::Whole => true,
        Ended::Short(_) | Ended::NeverStarted => false,
    };
    match framing {
        Some(Framing::Length(length)) => assert!(sent <= length && (!whole || sent == length)),
        Some(Framing::Empty { .. }) | None => assert_eq!(sent, 0),
        Some(Framing::Open) => {}
    }
});
