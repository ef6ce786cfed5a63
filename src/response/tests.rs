//! The rules of the response, each under its number; the property tests compare the machine with a plain model.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 65_536;

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn head(status: &str, fields: &[(&str, &str)]) -> Result<Head, HeadFault> {
    Head::new(status, pairs(fields), LIMIT)
}

fn started(status: &str, fields: &[(&str, &str)]) -> Progress {
    let (progress, result) = Progress::Unstarted.start(head(status, fields), false);
    assert_eq!(result, Ok(()));
    progress
}

fn framing(progress: Progress, chunk: &'static str, asked: Asked, only: bool) -> Framing {
    let (_, step) = progress.chunk(Bytes::from_static(chunk.as_bytes()), asked, only).unwrap();
    step.commit.unwrap().framing
}

fn refusal(fields: &[(&str, &str)]) -> String {
    head("200 OK", fields).unwrap_err().to_string()
}

#[test]
fn s41_an_empty_chunk_sends_nothing_and_needs_no_head() {
    let (progress, step) = Progress::Unstarted.chunk(Bytes::new(), Asked::Whole, false).unwrap();
    assert_eq!((progress, step.commit), (Progress::Unstarted, None));
    let (progress, step) = started("200 OK", &[]).chunk(Bytes::new(), Asked::Whole, true).unwrap();
    assert!(matches!(progress, Progress::Pending(_)) && step.commit.is_none());
}

#[test]
fn s41_a_declared_empty_body_need_not_wait() {
    let (progress, commit) = started("200 OK", &[("Content-Length", "0")]).declared_empty(Asked::Whole);
    assert_eq!((progress.is_sent(), commit.unwrap().framing), (true, Framing::Length(0)));
    let (progress, commit) = started("200 OK", &[("Content-Length", "1")]).declared_empty(Asked::Whole);
    assert_eq!((progress.is_sent(), commit), (false, None));
}

#[test]
fn s43_a_second_call_is_refused_even_after_a_first_that_failed() {
    let (progress, result) = started("200 OK", &[]).start(head("201 Created", &[]), false);
    assert_eq!(result, Err(StartFault::AlreadyStarted));
    assert_eq!(progress, started("200 OK", &[]));
    let (progress, result) = Progress::Unstarted.start(head("bad", &[]), false);
    assert!(matches!(result, Err(StartFault::Head(HeadFault::Status(_)))), "{result:?}");
    let (progress, result) = progress.start(head("200 OK", &[]), false);
    assert_eq!((&progress, result), (&Progress::Refused, Err(StartFault::AlreadyStarted)));
    assert_eq!(progress.end(Asked::Whole).1, Ended::NeverStarted);
}

#[test]
fn s44_exc_info_replaces_status_and_fields_whole() {
    let first = started("200 OK", &[("X-Old", "1"), ("Content-Length", "5")]);
    let (progress, result) = first.start(head("500 Oops", &[("X-New", "2")]), true);
    assert_eq!((progress, result), (started("500 Oops", &[("X-New", "2")]), Ok(())));
}

#[test]
fn s45_exc_info_after_the_head_is_refused() {
    let (progress, _) = started("200 OK", &[]).chunk(Bytes::from_static(b"x"), Asked::Whole, false).unwrap();
    let (_, result) = progress.start(head("500 Oops", &[]), true);
    assert_eq!(result, Err(StartFault::AlreadySent));
}

#[test]
fn s47_a_status_is_three_digits_a_space_and_a_reason() {
    for good in ["200 OK", "404 ", "599 Gr\u{fc}\u{df}e\tx", "204 No Content"] {
        assert_eq!(head(good, &[]).map(|head| head.status.code.as_str().to_owned()), Ok(good[..3].to_owned()));
    }
    for bad in [
        "",
        "200",
        "2000 Odd",
        "1000 Odd",
        "100 Continue",
        "199 x",
        "600 x",
        "20 x",
        "+20 x",
        "200\tOK",
        "200 a\r\nb",
        "200 \u{100}",
        "200 \0",
        "abc x",
        " 200 x",
    ] {
        assert!(matches!(head(bad, &[]), Err(HeadFault::Status(_))), "{bad:?}");
    }
}

#[test]
fn s49_to_s52_bad_fields_are_refused_with_their_names() {
    assert_eq!(refusal(&[("", "x")]), ": a field has a name");
    for name in ["a b", "a:b", "a\nb", "\u{e9}", "a\0"] {
        assert!(refusal(&[(name, "x")]).ends_with("a name is an RFC 9110 token"), "{name:?}");
    }
    assert_eq!(refusal(&[("X-", "x")]), "X-: a name does not end in `-` or `_`");
    assert_eq!(refusal(&[("Status", "200")]), "Status: the status is start_response's first argument");
    for value in ["a\r\nb", "a\nb", "a\0", "\u{7f}", "\u{1b}[0m"] {
        assert_eq!(refusal(&[("X-A", value)]), "X-A: a value has no control characters", "{value:?}");
    }
    assert_eq!(refusal(&[("X-A", "\u{20ac}")]), "X-A: a value has only characters up to U+00FF");
    for name in ["Connection", "keep-alive", "Transfer-Encoding", "TE", "Upgrade", "Trailer", "Trailers", "Proxy-Authenticate"] {
        assert_eq!(refusal(&[(name, "x")]), format!("{name}: a hop-by-hop field is the server's"));
    }
    for length in ["", "+1", "-1", "1,1", "0x1", "18446744073709551616", "1 "] {
        assert_eq!(refusal(&[("Content-Length", length)]), "Content-Length: Content-Length is a whole number", "{length:?}");
    }
    assert_eq!(refusal(&[("Content-Length", "1"), ("content-length", "1")]), "content-length: Content-Length comes once");
}

#[test]
fn s50_latin_1_and_tabs_survive_in_values() {
    let head = head("200 OK", &[("X-A", "caf\u{e9}\t\u{ff}")]).unwrap();
    assert_eq!(head.fields[0].1.as_bytes(), b"caf\xe9\t\xff");
}

#[test]
fn s53_repeated_fields_keep_their_order() {
    let head = head("200 Fine", &[("Set-Cookie", "a"), ("X-A", "1"), ("Set-Cookie", "b")]).unwrap();
    let fields: Vec<_> = head.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(fields, [("set-cookie", &b"a"[..]), ("x-a", b"1"), ("set-cookie", b"b")]);
    assert_eq!(head.status.reason, b"Fine");
}

#[test]
fn a_heads_size_is_held_under_at_and_over_the_limit() {
    let sized = |value: usize| Head::new("200 OK", pairs(&[("X-A", &"v".repeat(value))]), 1_024).map(|_| ());
    let room = 1_024 - "200 OK".len() - "X-A".len() - 32;
    assert_eq!([sized(room - 1), sized(room), sized(room + 1)], [Ok(()), Ok(()), Err(HeadFault::TooLarge(1_024))]);
    let many = vec![(String::from("a"), String::new()); 40];
    assert_eq!(Head::new("200 OK", many, 1_024), Err(HeadFault::TooLarge(1_024)));
}

#[test]
fn s58_the_only_chunk_gives_the_content_length() {
    assert_eq!(framing(started("200 OK", &[]), "hello", Asked::Whole, true), Framing::Length(5));
    assert_eq!(framing(started("200 OK", &[]), "hello", Asked::Whole, false), Framing::Open);
    assert_eq!(framing(started("200 OK", &[("Content-Length", "7")]), "hello", Asked::Whole, true), Framing::Length(7));
}

#[test]
fn s60_what_exceeds_the_content_length_is_cut_and_iteration_stops() {
    let (progress, step) = started("200 OK", &[("Content-Length", "3")]).chunk(Bytes::from_static(b"hello"), Asked::Whole, false).unwrap();
    assert_eq!((step.data.as_ref(), step.cut, step.full), (&b"hel"[..], true, true));
    assert_eq!(progress.end(Asked::Whole).1, Ended::Whole);
}

#[test]
fn s61_fewer_bytes_than_promised_are_a_short_body() {
    let (progress, _) = started("200 OK", &[("Content-Length", "9")]).chunk(Bytes::from_static(b"hello"), Asked::Whole, false).unwrap();
    assert_eq!(progress.end(Asked::Whole).1, Ended::Short(4));
    assert_eq!(started("200 OK", &[("Content-Length", "9")]).end(Asked::Whole).1, Ended::Short(9));
}

#[test]
fn s62_head_sends_no_body_and_keeps_the_length() {
    let (progress, step) =
        started("200 OK", &[("Content-Length", "5")]).chunk(Bytes::from_static(b"hello"), Asked::HeadOnly, false).unwrap();
    assert_eq!(step.commit.unwrap().framing, Framing::Empty { content_length: Some(5) });
    assert_eq!((step.data.len(), step.cut, step.full), (0, false, true));
    assert_eq!(progress.end(Asked::HeadOnly).1, Ended::Whole);
    assert_eq!(framing(started("200 OK", &[]), "hello", Asked::HeadOnly, true), Framing::Empty { content_length: Some(5) });
    assert_eq!(framing(started("200 OK", &[]), "hello", Asked::HeadOnly, false), Framing::Empty { content_length: None });
    let Ended::Commit(reply) = started("200 OK", &[("Content-Length", "5")]).end(Asked::HeadOnly).1 else { panic!("a head") };
    assert_eq!(reply.framing, Framing::Empty { content_length: Some(5) });
}

#[test]
fn s63_some_statuses_have_no_body() {
    let empty = |content_length| Framing::Empty { content_length };
    let fields: &[(&str, &str)] = &[("Content-Length", "5")];
    assert_eq!(framing(started("204 No Content", fields), "hello", Asked::Whole, true), empty(None));
    assert_eq!(framing(started("304 Not Modified", fields), "hello", Asked::Whole, true), empty(Some(5)));
    assert_eq!(framing(started("304 Not Modified", &[]), "hello", Asked::Whole, true), empty(None));
    assert_eq!(framing(started("205 Reset Content", fields), "hello", Asked::Whole, true), Framing::Length(0));
    let Ended::Commit(reply) = started("204 No Content", fields).end(Asked::Whole).1 else { panic!("a head") };
    assert_eq!(reply.framing, empty(None));
}

#[test]
fn s66_a_chunk_without_a_head_is_refused() {
    assert_eq!(Progress::Unstarted.chunk(Bytes::from_static(b"x"), Asked::Whole, false), Err(Progress::Unstarted));
    assert_eq!(Progress::Unstarted.end(Asked::Whole).1, Ended::NeverStarted);
}

#[test]
fn an_empty_body_has_the_length_zero() {
    let Ended::Commit(reply) = started("200 OK", &[]).end(Asked::Whole).1 else { panic!("a head") };
    assert_eq!(reply.framing, Framing::Length(0));
}

proptest! {
    /// S47 to S52: no text that is accepted can break out of its line.
    #[test]
    fn an_accepted_head_has_no_control_characters(status in ".{0,20}", name in ".{0,12}", value in ".{0,20}") {
        if let Ok(head) = Head::new(&format!("200 {status}"), vec![(name, value)], LIMIT) {
            let values = head.fields.iter().flat_map(|(_, value)| value.as_bytes());
            prop_assert!(values.chain(&head.status.reason).all(|b| (*b >= 0x20 && *b != 0x7f) || *b == b'\t'));
        }
    }

    /// S58 to S63: what is sent is the body, cut at its Content-Length, and the end says exactly whether it was whole.
    #[test]
    fn what_is_sent_agrees_with_what_was_promised(
        length in proptest::option::of(0u64..12),
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6), 0..6),
        code in prop_oneof![Just("200 x"), Just("204 x"), Just("304 x"), Just("205 x")],
        head_only in any::<bool>(),
    ) {
        let asked = if head_only { Asked::HeadOnly } else { Asked::Whole };
        let fields: Vec<_> = length.iter().map(|length| ("Content-Length".to_owned(), length.to_string())).collect();
        let (mut progress, _) = Progress::Unstarted.start(Head::new(code, fields, LIMIT), false);
        let (mut sent, mut framing, mut full) = (Vec::new(), None, false);
        for chunk in &chunks {
            if full { break }
            let (next, step) = progress.chunk(Bytes::copy_from_slice(chunk), asked, false).unwrap();
            if let Some(reply) = step.commit {
                prop_assert!(framing.replace(reply.framing).is_none(), "a second head");
            }
            sent.extend_from_slice(&step.data);
            full = step.full;
            progress = next;
        }
        let whole = match progress.end(asked).1 {
            Ended::Commit(reply) => { prop_assert!(framing.replace(reply.framing).is_none(), "a second head"); true }
            Ended::Whole => true,
            Ended::Short(_) => false,
            Ended::NeverStarted => unreachable!("it was started"),
        };
        let body: Vec<u8> = chunks.concat();
        if head_only || code != "200 x" {
            prop_assert!(sent.is_empty() && whole);
        } else {
            let promised = length.map_or(body.len(), |length| usize::try_from(length).unwrap());
            prop_assert_eq!(&sent[..], &body[..promised.min(body.len())]);
            prop_assert_eq!(whole, body.len() >= promised);
            match framing {
                Some(Framing::Length(told)) if whole => prop_assert_eq!(told, u64::try_from(sent.len()).unwrap()),
                Some(Framing::Empty { .. }) => prop_assert!(false, "a body was asked for"),
                Some(Framing::Length(_) | Framing::Open) | None => {}
            }
        }
    }
}
