//! What a guest writes: `wsgi.errors`, stdout and stderr, as lines of its tenant's log.
//!
//! A line goes out when it is whole, with control characters escaped (S29), within what one request and what the tenant may write; the
//! rest is dropped and counted. The lines are events of the target `wasgi::app`; who keeps them is the operator's choice of subscriber.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    fault::{GuestFault, Raised},
    ledger::{Account, Counter, Rate},
    limits::Limits,
    response::Finding,
    tenant::TenantId,
};

/// Longest line; a longer one is cut into several.
const LINE_BYTES: usize = 8 << 10;
/// What a line costs beside its text: its time and its names.
const LINE_OVERHEAD: usize = 128;
/// How often it is told that lines were dropped.
const TELL: Duration = Duration::from_secs(1);
/// Lines of one fault.
const FAULT_LINES: usize = 300;
/// Longest text of an exception; the rest is cut with a mark.
const RAISED_BYTES: usize = 16 << 10;

/// A tenant's log, shared by its instances: who writes, and how much it may write in a second.
#[derive(Clone, Debug)]
pub struct TenantLog {
    tenant: TenantId,
    account: Account,
    per_second: u64,
    dropped: Arc<Mutex<Dropped>>,
}

/// What was dropped, and when that was told.
#[derive(Debug)]
struct Dropped {
    bytes: u64,
    told: Instant,
}

impl TenantLog {
    /// The log of `tenant`.
    #[must_use]
    pub fn new(tenant: TenantId, limits: &Limits) -> Self {
        Self::counted(tenant, limits, Account::alone())
    }

    /// The same, where all workers of a host count together.
    #[must_use]
    pub fn counted(tenant: TenantId, limits: &Limits, account: Account) -> Self {
        let dropped = Dropped { bytes: 0, told: Instant::now() };
        Self { tenant, account, per_second: limits.tenant_log_bytes_per_s, dropped: Arc::new(Mutex::new(dropped)) }
    }

    /// What its tenant uses.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Whose log it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Says what went wrong in a request, with the guest's own traceback.
    pub fn fault(&self, request_id: &str, fault: &GuestFault) {
        let traceback = fault.traceback();
        let text = fault.to_string();
        let lines = text.lines().chain(traceback.lines()).take(FAULT_LINES).map(|line| escape(cut(line, LINE_BYTES)));
        let indents = std::iter::once("").chain(std::iter::repeat("  "));
        for (indent, line) in indents.zip(lines) {
            if self.admits(u64::try_from(line.len() + LINE_OVERHEAD).unwrap_or(u64::MAX)) {
                tracing::warn!(target: "wasgi::app", tenant = %self.tenant, request_id, "{indent}{line}");
            }
        }
    }

    /// Says something that no request's line says.
    pub fn tell(&self, text: &str) {
        tracing::warn!(target: "wasgi::app", tenant = %self.tenant, "{text}");
    }

    /// Says which rule a request's application broke.
    fn finding(&self, request_id: &str, finding: &Finding) {
        let Finding { rule, what } = finding;
        let line = escape(cut(what, LINE_BYTES));
        if self.admits(u64::try_from(line.len() + LINE_OVERHEAD).unwrap_or(u64::MAX)) {
            tracing::warn!(target: "wasgi::app", tenant = %self.tenant, request_id, rule, "{line}");
        }
    }

    fn line(&self, request_id: &str, stream: &'static str, line: &str) {
        tracing::info!(target: "wasgi::app", tenant = %self.tenant, request_id, stream, "{}", escape(line));
    }

    /// Takes `bytes` out of this second's share.
    fn admits(&self, bytes: u64) -> bool {
        let fits = self.account.try_spend(Rate::Log, bytes, self.per_second);
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        if !fits {
            self.account.count(Counter::LogBytesDropped, bytes);
            dropped.bytes = dropped.bytes.saturating_add(bytes);
        }
        if dropped.bytes > 0 && dropped.told.elapsed() >= TELL {
            tracing::warn!(target: "wasgi::app", tenant = %self.tenant, "its log rate is used up; {} bytes were dropped", dropped.bytes);
            *dropped = Dropped { bytes: 0, told: Instant::now() };
        }
        fits
    }
}

/// The streams of one instance, which carry the id of the request that it serves.
#[derive(Clone, Debug)]
pub(super) struct RequestLog(Arc<Mutex<Streams>>);

#[derive(Debug)]
struct Streams {
    log: TenantLog,
    limit: u64,
    request_id: String,
    used: u64,
    dropped: u64,
    /// Lines that are not whole yet: wsgi.errors, stdout, stderr.
    partial: [String; 3],
}

/// Where a text comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Errors,
    Stdout,
    Stderr,
}

const NAMES: [&str; 3] = ["wsgi.errors", "stdout", "stderr"];

impl RequestLog {
    pub(super) fn new(log: TenantLog, limits: &Limits) -> Self {
        let partial = Default::default();
        let streams = Streams { log, limit: limits.request_log_bytes, request_id: String::new(), used: 0, dropped: 0, partial };
        Self(Arc::new(Mutex::new(streams)))
    }

    /// A new request begins.
    pub(super) fn begin(&self, request_id: &str) {
        let mut streams = self.streams();
        request_id.clone_into(&mut streams.request_id);
        (streams.used, streams.dropped) = (0, 0);
    }

    /// The request's application broke a rule.
    pub(super) fn finding(&self, finding: &Finding) {
        let streams = self.streams();
        streams.log.finding(&streams.request_id, finding);
    }

    /// The request ends: what is not a whole line goes out as one, and what was dropped is told.
    pub(super) fn finish(&self) {
        let mut streams = self.streams();
        for (partial, name) in std::mem::take(&mut streams.partial).iter().zip(NAMES) {
            if !partial.is_empty() {
                streams.log.line(&streams.request_id, name, partial);
            }
        }
        if streams.dropped > 0 {
            let (tenant, request_id, dropped) = (&streams.log.tenant, &streams.request_id, streams.dropped);
            tracing::warn!(target: "wasgi::app", %tenant, request_id, dropped, "its log limit is used up; {dropped} bytes were dropped");
        }
    }

    pub(super) fn write(&self, stream: Stream, text: &str) {
        let mut streams = self.streams();
        let lines = text.bytes().filter(|byte| *byte == b'\n').count();
        // As it will be written.
        let bytes = u64::try_from(escape(text).len().saturating_add(lines.saturating_mul(LINE_OVERHEAD))).unwrap_or(u64::MAX);
        let used = streams.used.saturating_add(bytes);
        if used > streams.limit {
            streams.log.account.count(Counter::LogBytesDropped, bytes);
        }
        if used > streams.limit || !streams.log.admits(bytes) {
            streams.dropped = streams.dropped.saturating_add(bytes);
            return;
        }
        streams.used = used;
        streams.append(stream, text);
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    fn append(&mut self, stream: Stream, text: &str) {
        let Self { log, request_id, partial: [errors, stdout, stderr], .. } = self;
        let (partial, name) = match stream {
            Stream::Errors => (errors, "wsgi.errors"),
            Stream::Stdout => (stdout, "stdout"),
            Stream::Stderr => (stderr, "stderr"),
        };
        for piece in text.split_inclusive('\n') {
            partial.push_str(piece);
            while partial.len() > LINE_BYTES || partial.ends_with('\n') {
                let head = cut(partial, LINE_BYTES).len();
                let rest = partial.split_off(head);
                let line = std::mem::replace(partial, rest);
                log.line(request_id, name, line.trim_end_matches(['\r', '\n']));
            }
        }
    }
}

/// The longest start of `text` that has at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A line of a guest's, as it may be shown: control characters would let it forge lines and drive a terminal (S29).
#[must_use]
pub fn escape(text: &str) -> String {
    let plain = |c: char| c == '\t' || !c.is_control();
    if text.chars().all(plain) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if plain(c) { vec![c] } else { c.escape_default().collect() }).collect()
}

/// An exception of a guest, each part cut at 16 KiB. Of a traceback the end is kept, where the cause stands.
pub(super) fn raised(kind: &str, message: &str, traceback: &str) -> Raised {
    let shortened = |text: &str| match cut(text, RAISED_BYTES) {
        whole if whole.len() == text.len() => escape(text),
        start => format!("{} […]", escape(start)),
    };
    let mut start = traceback.len().saturating_sub(RAISED_BYTES);
    while !traceback.is_char_boundary(start) {
        start += 1;
    }
    let mark = if start > 0 { "[…]\n" } else { "" };
    let traceback = format!("{mark}{}", traceback.get(start..).unwrap_or_default());
    Raised { kind: shortened(kind), message: shortened(message), traceback }
}

/// The beginning of a backtrace, where the function stands that trapped.
pub(super) fn shortened(backtrace: &str) -> &str {
    cut(backtrace, RAISED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s29_control_characters_are_escaped_and_text_is_not() {
        assert_eq!(escape("caf\u{e9}\t\u{20ac}"), "caf\u{e9}\t\u{20ac}");
        assert_eq!(escape("\u{1b}[31mred\r\nforged"), "\\u{1b}[31mred\\r\\nforged");
    }

    #[test]
    fn an_exceptions_parts_are_cut_with_a_mark() {
        let long = "\u{20ac}".repeat(8 << 10);
        let cut = raised("E", &long, &format!("{long}\nlast"));
        assert_eq!(cut.message.len(), RAISED_BYTES / 3 * 3 + " […]".len());
        assert!(cut.traceback.starts_with("[…]\n") && cut.traceback.ends_with("\nlast") && cut.traceback.len() < RAISED_BYTES + 10);
        assert_eq!(raised("E", "m", "t"), Raised { kind: "E".into(), message: "m".into(), traceback: "t".into() });
    }

    #[test]
    fn a_requests_log_is_kept_under_and_at_its_limit_and_dropped_over_it() {
        let limits = Limits { request_log_bytes: 10, ..Limits::default() };
        let log = RequestLog::new(TenantLog::new(TenantId::of("t"), &limits), &limits);
        log.begin("id");
        log.write(Stream::Errors, "123456789");
        log.write(Stream::Errors, "0");
        let kept = || {
            let streams = log.streams();
            (streams.partial[0].clone(), streams.dropped)
        };
        assert_eq!(kept(), ("1234567890".to_owned(), 0));
        log.write(Stream::Errors, "x");
        assert_eq!(kept(), ("1234567890".to_owned(), 1));
    }

    #[test]
    fn a_tenants_rate_is_held_over_its_requests() {
        let limits = Limits { tenant_log_bytes_per_s: 10, ..Limits::default() };
        let log = TenantLog::new(TenantId::of("t"), &limits);
        assert_eq!([log.admits(9), log.admits(1), log.admits(1)], [true, true, false]);
    }

    #[test]
    fn a_line_without_an_end_stays_bounded() {
        let limits = Limits::default();
        let log = RequestLog::new(TenantLog::new(TenantId::of("t"), &limits), &limits);
        log.write(Stream::Stdout, &"x".repeat(LINE_BYTES * 3 + 1));
        assert_eq!(log.streams().partial[1], "x");
    }
}
