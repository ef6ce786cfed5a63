//! What an application may not do though its response goes out all the same: `wsgiref.validate`, for a guest in any language.
//!
//! Pure, as its neighbours: it is told what the guest does, and finds what breaks a rule of the application's side (A1 to A14 of the
//! checklist). It is asked for by `wasgi serve --strict`, and changes no response.

use http::{StatusCode, header};

use super::{HeadFault, Reply, StartFault};

/// A rule that an application broke.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The rule's name in the checklist: `A8`.
    pub rule: &'static str,
    /// What was done.
    pub what: String,
}

/// Where in a request the guest is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Phase {
    /// In the application.
    #[default]
    Calling,
    /// In its iterable's `__next__`.
    Iterating,
    /// In its iterable's `close()`.
    Closing,
}

/// One request's findings, one a rule.
#[derive(Debug, Default)]
pub struct Strict {
    phase: Phase,
    found: Vec<Finding>,
    /// `len()` of the iterable.
    promised: Option<u32>,
    yielded: u32,
    /// It was asked to its end.
    consumed: bool,
    /// start_response raised the exception that it was given.
    raised_again: bool,
    status: Option<StatusCode>,
}

impl Strict {
    fn find(&mut self, rule: &'static str, what: impl Into<String>) {
        if !self.found.iter().any(|finding| finding.rule == rule) {
            self.found.push(Finding { rule, what: what.into() });
        }
    }

    /// The guest is entered.
    pub fn enters(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// The application returned an iterable; `len()` of it, where that is known.
    pub fn returned(&mut self, promised: Option<u32>) {
        self.promised = promised;
    }

    /// start_response was called.
    pub fn started(&mut self, status: &str, result: Result<(), &StartFault>, with_exc_info: bool) {
        if self.phase == Phase::Closing {
            self.find("A14", "start_response was called in close()");
        }
        match result {
            Ok(()) if status.len() <= 4 => self.find("A10", "the status has no reason"),
            Ok(()) => {}
            Err(StartFault::AlreadyStarted) => self.find("A3", "start_response was called again without exc_info"),
            Err(StartFault::AlreadySent) if with_exc_info => self.raised_again = true,
            Err(StartFault::AlreadySent) => self.find("A3", "start_response was called after the head was sent, without exc_info"),
            Err(StartFault::Head(fault @ HeadFault::Field { why, .. })) if why.contains("hop-by-hop") => self.find("A9", fault.to_string()),
            Err(StartFault::Head(fault)) => self.find("A10", fault.to_string()),
        }
    }

    /// `write()` was called.
    pub fn wrote(&mut self) {
        match self.phase {
            Phase::Calling => {}
            Phase::Iterating => self.find("A12", "write() was called while the iterable was asked for a chunk"),
            Phase::Closing => self.find("A14", "write() was called in close()"),
        }
    }

    /// The iterable yielded, or ended.
    pub fn yielded(&mut self, chunk: bool) {
        if self.raised_again {
            self.find("A11", "an exception that start_response raised was trapped, and the body went on");
        }
        self.yielded = self.yielded.saturating_add(chunk.into());
        self.consumed |= !chunk;
        let (promised, yielded) = (self.promised.unwrap_or(self.yielded), self.yielded);
        // More is known at once, less at the end.
        if yielded > promised || !chunk && yielded < promised {
            self.find("A5", format!("len() of the iterable is {promised}, and it yielded {yielded}"));
        }
    }

    /// The body was needed before start_response was called.
    pub fn never_started(&mut self) {
        self.find("A2", "start_response was not called before the first byte of the body");
    }

    /// The head is final.
    pub fn committed(&mut self, reply: &Reply) {
        let code = reply.status.code;
        self.status = Some(code);
        let typed = reply.fields.iter().any(|(name, _)| *name == header::CONTENT_TYPE);
        let bodiless = matches!(code, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodiless && typed {
            self.find("A8", format!("a Content-Type in a {}, which has no body", code.as_u16()));
        } else if !bodiless && !typed {
            self.find("A8", format!("no Content-Type in a {}", code.as_u16()));
        }
        if let Some((name, _)) = reply.fields.iter().find(|(_, value)| value.as_bytes().contains(&b'\t')) {
            self.find("A10", format!("{name}: a value has a control character"));
        }
    }

    /// The iterable's `close()` raised.
    pub fn close_raised(&mut self) {
        if !self.consumed {
            self.find("A6", "close() raised, perhaps for the iterable was not consumed to its end");
        }
    }

    /// All that was found. `unread` says why the body of the request could not be read, if it could not.
    #[must_use]
    pub fn findings(mut self, unread: Option<String>) -> Vec<Finding> {
        if let (Some(why), Some(status)) = (unread, self.status.filter(StatusCode::is_success)) {
            self.find("A7", format!("wsgi.input failed ({why}), and the answer is {} all the same", status.as_u16()));
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::{Framing, Head};

    fn found(act: impl FnOnce(&mut Strict)) -> Vec<(&'static str, String)> {
        let mut strict = Strict::default();
        act(&mut strict);
        strict.findings(None).into_iter().map(|finding| (finding.rule, finding.what)).collect()
    }

    fn reply(status: &str, fields: &[(&str, &str)]) -> Reply {
        let pairs = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let head = Head::new(status, pairs, 1_000).unwrap();
        Reply { status: head.status, fields: head.fields, framing: Framing::Open }
    }

    fn one(rule: &'static str, what: &str) -> Vec<(&'static str, String)> {
        vec![(rule, what.to_owned())]
    }

    #[test]
    fn a2_a_body_before_its_head_is_found() {
        assert_eq!(found(Strict::never_started), one("A2", "start_response was not called before the first byte of the body"));
    }

    #[test]
    fn a3_a_second_start_without_exc_info_is_found_once() {
        let twice = found(|strict| {
            strict.started("200 OK", Err(&StartFault::AlreadyStarted), false);
            strict.started("200 OK", Err(&StartFault::AlreadySent), false);
        });
        assert_eq!(twice, one("A3", "start_response was called again without exc_info"));
    }

    #[test]
    fn a5_a_wrong_length_is_found_when_the_iterable_has_ended() {
        let of = |promised, chunks| {
            found(|strict| {
                strict.returned(promised);
                (0..chunks).for_each(|_| strict.yielded(true));
                strict.yielded(false);
            })
        };
        assert_eq!([of(Some(2), 2), of(None, 5)], [vec![], vec![]]);
        assert_eq!(of(Some(1), 2), one("A5", "len() of the iterable is 1, and it yielded 2"));
        assert_eq!(of(Some(3), 2), one("A5", "len() of the iterable is 3, and it yielded 2"));
    }

    #[test]
    fn a6_a_close_that_raises_before_the_end_is_found() {
        let raised = found(|strict| {
            strict.returned(Some(3));
            strict.yielded(true);
            strict.close_raised();
        });
        assert_eq!(raised, one("A6", "close() raised, perhaps for the iterable was not consumed to its end"));
        let consumed = found(|strict| {
            strict.yielded(true);
            strict.yielded(false);
            strict.close_raised();
        });
        assert_eq!(consumed, []);
    }

    #[test]
    fn a7_an_answer_to_a_body_that_could_not_be_read_is_found() {
        let of = |status: &str| {
            let mut strict = Strict::default();
            strict.committed(&reply(status, &[("Content-Type", "a/b")]));
            strict.findings(Some("the body is malformed".into()))
        };
        assert_eq!(of("400 Bad"), []);
        let what = "wsgi.input failed (the body is malformed), and the answer is 200 all the same".to_owned();
        assert_eq!(of("200 OK"), [Finding { rule: "A7", what }]);
    }

    #[test]
    fn a8_a_content_type_is_there_where_a_body_is() {
        let of = |status: &str, fields: &[(&str, &str)]| found(|strict| strict.committed(&reply(status, fields)));
        let typed = [("Content-Type", "a/b")];
        assert_eq!([of("200 OK", &typed), of("204 No", &[]), of("304 No", &[])], [vec![], vec![], vec![]]);
        assert_eq!(of("200 OK", &[]), one("A8", "no Content-Type in a 200"));
        assert_eq!(of("304 No", &typed), one("A8", "a Content-Type in a 304, which has no body"));
    }

    #[test]
    fn a9_a10_a_bad_head_is_found_with_its_field() {
        let refused = |status: &str, fields: &[(&str, &str)]| {
            let pairs = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let fault = StartFault::from(Head::new(status, pairs, 1_000).unwrap_err());
            found(|strict| strict.started(status, Err(&fault), false))
        };
        assert_eq!(refused("200 OK", &[("Connection", "close")]), one("A9", "Connection: a hop-by-hop field is the server's"));
        assert_eq!(refused("200 OK", &[("X", "a\n")]), one("A10", "X: a value has no control characters"));
        assert_eq!(refused("20 OK", &[])[0].0, "A10");
        assert_eq!(found(|strict| strict.started("200 ", Ok(()), false)), one("A10", "the status has no reason"));
        let tab = reply("200 OK", &[("Content-Type", "a/b"), ("X-A", "a\tb")]);
        assert_eq!(found(|strict| strict.committed(&tab)), one("A10", "x-a: a value has a control character"));
    }

    #[test]
    fn a11_an_exception_that_is_trapped_is_found_when_the_body_goes_on() {
        let again = |strict: &mut Strict| strict.started("500 Late", Err(&StartFault::AlreadySent), true);
        assert_eq!(found(again), []);
        let trapped = found(|strict| {
            again(strict);
            strict.yielded(true);
        });
        assert_eq!(trapped, one("A11", "an exception that start_response raised was trapped, and the body went on"));
    }

    #[test]
    fn a12_a14_write_belongs_to_the_call_and_nothing_to_close() {
        let of = |phase, act: fn(&mut Strict)| {
            found(|strict| {
                strict.enters(phase);
                act(strict);
            })
        };
        assert_eq!(of(Phase::Calling, Strict::wrote), []);
        assert_eq!(of(Phase::Iterating, Strict::wrote), one("A12", "write() was called while the iterable was asked for a chunk"));
        assert_eq!(of(Phase::Closing, Strict::wrote), one("A14", "write() was called in close()"));
        assert_eq!(
            of(Phase::Closing, |strict| strict.started("200 OK", Ok(()), false)),
            one("A14", "start_response was called in close()")
        );
    }
}
