//! Every limit that wasgi enforces, in one struct, with its unit, its default, and the range an operator may set.
//!
//! Owns the numbers only. It does not know what enforces them: the sandbox, the exchange and the server each read the fields that they
//! need from the one [`Limits`] that is passed whole. The command line makes its flags from [`Limits::TABLE`], so that a limit is
//! written once, here.

use std::{collections::BTreeMap, fmt};

use thiserror::Error;

/// How a limit is written and read: the unit that its field's name ends with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Bytes; accepts `10MiB`, `64KiB`, `1GiB` and plain numbers.
    Bytes,
    /// Milliseconds; accepts `250ms`, `5s`, `10min` and plain numbers of milliseconds.
    Millis,
    /// A plain number.
    Count,
}

/// One row of [`Limits::TABLE`]: what a person may know and set.
pub struct Limit {
    /// The field's name, with its unit: `guest_cpu_ms`.
    pub name: &'static str,
    /// The flag's name, without the dashes: `guest-cpu`.
    pub flag: &'static str,
    /// What it limits, as the field's documentation says.
    pub help: &'static str,
    /// How it is written.
    pub unit: Unit,
    /// The value when nothing is set.
    pub default: u64,
    /// The least value that makes sense.
    pub min: u64,
    /// The greatest value that this version can keep.
    pub max: u64,
    get: fn(&Limits) -> u64,
    set: fn(&mut Limits, u64),
}

impl Limit {
    /// The limit that files write as `key`.
    #[must_use]
    pub fn of(key: &str) -> Option<&'static Self> {
        Limits::TABLE.iter().find(|limit| limit.key() == key)
    }

    /// Its name in a file: its flag's, as TOML writes words.
    #[must_use]
    pub fn key(&self) -> String {
        self.flag.replace('-', "_")
    }

    /// Whether an application's author may ask for less of it: see [`OwnLimits`].
    #[must_use]
    pub fn is_authors(&self) -> bool {
        AUTHORS.contains(&self.name)
    }

    /// The value in `limits`.
    #[must_use]
    pub fn get(&self, limits: &Limits) -> u64 {
        (self.get)(limits)
    }

    /// Sets the value in `limits`, unchecked; [`Limits::check`] judges all of them together.
    pub fn set(&self, limits: &mut Limits, value: u64) {
        (self.set)(limits, value);
    }
}

/// A limit outside of what is allowed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LimitFault {
    /// Below the least value that makes sense.
    #[error("{name}: {found} is below the minimum of {min}")]
    BelowMinimum {
        /// The field.
        name: &'static str,
        /// What was asked for.
        found: String,
        /// The least that is allowed.
        min: String,
    },
    /// Above the operator's ceiling.
    #[error("{name}: {found} is above the ceiling of {ceiling}")]
    AboveCeiling {
        /// The field.
        name: &'static str,
        /// What was asked for.
        found: String,
        /// The most that is allowed.
        ceiling: String,
    },
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident, $flag:literal, $unit:ident, $default:expr, $min:expr, $max:expr;)+) => {
        /// What one tenant may use. Defaults are right for most apps; design and reasons are in `docs/operators.md`.
        #[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(default)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Limits {
            /// Every limit, in the order of the fields.
            pub const TABLE: &'static [Limit] = &[$(Limit {
                name: stringify!($name),
                flag: $flag,
                help: concat!($($doc,)+),
                unit: Unit::$unit,
                default: $default,
                min: $min,
                max: $max,
                get: |limits| limits.$name,
                set: |limits, value| limits.$name = value,
            },)+];

            /// The highest value of each limit: the ceiling where an operator names none.
            #[must_use]
            pub fn ceiling() -> Self {
                Self { $($name: $max,)+ }
            }
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }
    };
}

/// Limits of a request, of an instance or of a release, where less is no burden for anybody else.
const AUTHORS: [&str; 18] = [
    "memory_bytes",
    "guest_cpu_ms",
    "start_cpu_ms",
    "release_cpu_ms",
    "release_wall_ms",
    "head_wall_ms",
    "progress_wall_ms",
    "exchange_wall_ms",
    "close_grace_ms",
    "request_body_bytes",
    "response_body_bytes",
    "response_head_bytes",
    "request_log_bytes",
    "tmp_bytes",
    "reuse_requests",
    "reuse_age_ms",
    "reuse_idle_ms",
    "reuse_growth_bytes",
];

/// What an application's author asks for, by the names that files write. It is a stranger's word: it makes limits smaller and never larger, what
/// it may not name it has no effect on, and a name that is not known is a later version's.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(transparent)]
pub struct OwnLimits(BTreeMap<String, u64>);

impl OwnLimits {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Asks for a limit.
    pub fn ask(&mut self, limit: &Limit, value: u64) {
        self.0.insert(limit.key(), value);
    }

    /// What it asks for, of what it may.
    pub fn asked(&self) -> impl Iterator<Item = (&'static Limit, u64)> {
        let known = self.0.iter().filter_map(|(key, value)| Limit::of(key).map(|limit| (limit, *value)));
        known.filter(|(limit, _)| limit.is_authors())
    }

    /// Where it asks for more than `limits`, in words.
    pub fn unmet(&self, limits: &Limits) -> impl Iterator<Item = String> {
        self.asked().filter(|(limit, asked)| *asked > limit.get(limits)).map(|(limit, asked)| {
            let (key, text) = (limit.key(), |value| Amount(value, limit.unit));
            format!("its wasgi.toml asks for `limits.{key}` of {}, and has {}", text(asked), text(limit.get(limits)))
        })
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

limits! {
    /// Memory of one instance, summed over its linear memories and tables.
    memory_bytes, "memory", Bytes, 256 * MIB, 64 * KIB, 4 * GIB;
    /// Memory of all instances of a tenant together, idle ones included.
    tenant_memory_bytes, "tenant-memory", Bytes, GIB, 64 * KIB, 1 << 50;
    /// Instances of a tenant, idle ones included.
    instances, "instances", Count, 64, 1, 10_000;
    /// Time inside guest code in one request; waits for the host are not charged.
    guest_cpu_ms, "guest-cpu", Millis, 5 * SECOND, 1, 60 * MINUTE;
    /// Time inside guest code that a tenant may use, in percent of one core, over all its requests.
    cpu_share_percent, "cpu-share", Count, 100_000, 1, 100_000;
    /// A tenant's part of what is contended for (CPU time, places), beside others': one with 200 gets twice what one with 100 gets.
    weight, "weight", Count, 100, 1, 10_000;
    /// Time inside guest code while an instance starts.
    start_cpu_ms, "start-cpu", Millis, 10 * SECOND, 1, 60 * MINUTE;
    /// Time inside guest code while a release is made, or a management command runs.
    release_cpu_ms, "release-cpu", Millis, MINUTE, 1, 60 * MINUTE;
    /// Longest time to make a release, or of a management command, waits included.
    release_wall_ms, "release-timeout", Millis, 5 * MINUTE, 1, 24 * 60 * MINUTE;
    /// Memory of the process that compiles a component.
    compile_memory_bytes, "compile-memory", Bytes, 4 * GIB, 256 * MIB, 1 << 40;
    /// Longest time to compile a component.
    compile_wall_ms, "compile-timeout", Millis, 5 * MINUTE, SECOND, 60 * MINUTE;
    /// From the call to the response's head; waits for the client's body are not counted.
    head_wall_ms, "head-timeout", Millis, 30 * SECOND, 1, 60 * MINUTE;
    /// Longest time without progress in either direction once a body flows.
    progress_wall_ms, "progress-timeout", Millis, 30 * SECOND, 1, 60 * MINUTE;
    /// Bytes that a client must send or take in a second, on the average, once it was waited for for 5 seconds.
    client_bytes_per_s, "min-rate", Bytes, KIB, 0, GIB;
    /// Longest life of one request, from the call to its end; an upload that is buffered before has as long.
    exchange_wall_ms, "request-timeout", Millis, 10 * MINUTE, 1, 24 * 60 * MINUTE;
    /// What is left for the application to end and for close() to run, once the time is up.
    close_grace_ms, "close-grace", Millis, SECOND, 1, MINUTE;
    /// The body of one request.
    request_body_bytes, "max-body", Bytes, 10 * MIB, 0, 1 << 50;
    /// The body of one response; at the limit it is broken off.
    response_body_bytes, "max-response", Bytes, 1 << 50, 0, 1 << 50;
    /// A chunked upload that is buffered for CONTENT_LENGTH: what stays in memory; the rest waits in a temporary file.
    buffered_body_bytes, "buffer-memory", Bytes, MIB, 0, GIB;
    /// The request line.
    request_line_bytes, "max-request-line", Bytes, 8 * KIB, 16, 60 * KIB;
    /// One field of a request's head: its name, its value and what stands between.
    request_field_bytes, "max-field", Bytes, 8 * KIB, 8, 60 * KIB;
    /// The request's head (request line and fields) as read from the wire.
    request_head_bytes, "max-head", Bytes, 72 * KIB, 8 * KIB, MIB;
    /// Fields of a request's head.
    request_fields, "max-fields", Count, 100, 1, 1_000;
    /// The response's head as held in memory, each field charged 32 bytes of overhead.
    response_head_bytes, "max-response-head", Bytes, 64 * KIB, KIB, 512 * KIB;
    /// What one request may write to its logs (wsgi.errors, stdout, stderr); the rest is dropped and counted.
    request_log_bytes, "max-log", Bytes, 64 * KIB, 0, 64 * MIB;
    /// What a tenant may write to its logs in a second; the rest is dropped and counted.
    tenant_log_bytes_per_s, "max-log-rate", Bytes, MIB, 0, GIB;
    /// What one instance may write to its private /tmp in its life, each new name charged 4 KiB.
    tmp_bytes, "max-tmp", Bytes, 256 * MIB, 0, 1 << 40;
    /// What a tenant's /data may hold.
    data_bytes, "max-data", Bytes, GIB, 0, 1 << 50;
    /// Requests that run at once.
    concurrency, "concurrency", Count, 16, 1, 1_000;
    /// Requests that wait for a place.
    queue, "queue", Count, 64, 0, 100_000;
    /// Longest wait for a place; then 503.
    queue_wall_ms, "queue-timeout", Millis, 5 * SECOND, 1, 10 * MINUTE;
    /// Traps in a minute after which an application is cooled down: its requests are answered with 503.
    traps, "max-traps", Count, 100, 1, 1_000_000;
    /// How long it is cooled down.
    cool_ms, "cool-down", Millis, 30 * SECOND, 1, 60 * MINUTE;
    /// Requests after which a reused instance retires.
    reuse_requests, "reuse-requests", Count, 1_000, 1, 1_000_000_000;
    /// Age at which a reused instance retires.
    reuse_age_ms, "reuse-age", Millis, 60 * MINUTE, 1, 24 * 60 * MINUTE;
    /// Idle time after which a reused instance retires.
    reuse_idle_ms, "reuse-idle", Millis, MINUTE, 1, 24 * 60 * MINUTE;
    /// Growth of its memory, since it started, after which a reused instance retires.
    reuse_growth_bytes, "reuse-growth", Bytes, 64 * MIB, 0, 4 * GIB;
    /// Instances of all tenants in one worker process; the longest idle one gives way to a new one.
    worker_instances, "worker-instances", Count, 128, 1, 4_000;
    /// Connections in all, over all workers of a group.
    connections, "max-connections", Count, 4_096, 1, 1_000_000;
    /// Connections of one peer address (of IPv6: its /64), over all workers of a group.
    peer_connections, "max-peer-connections", Count, 256, 1, 1_000_000;
    /// Longest time to send a request's head; it begins with a connection, and with a further request's first byte.
    head_read_ms, "head-read-timeout", Millis, 10 * SECOND, 1, 10 * MINUTE;
    /// Longest time that a connection waits for its next request.
    idle_ms, "idle-timeout", Millis, 15 * SECOND, 1, 60 * MINUTE;
    /// A component's file, its bundle included.
    component_bytes, "max-component", Bytes, 100 * MIB, KIB, 4 * GIB;
    /// The files of a bundle, unpacked.
    bundle_bytes, "max-bundle", Bytes, 512 * MIB, KIB, 64 * GIB;
}

impl Limits {
    /// The same, or less where an application's author asks for less.
    #[must_use]
    pub fn within(mut self, own: &OwnLimits) -> Self {
        for (limit, asked) in own.asked() {
            let value = limit.get(&self).min(asked.max(limit.min));
            limit.set(&mut self, value);
        }
        self
    }

    /// Refuses values below the minimum or above `ceiling`, all of them at once.
    ///
    /// # Errors
    /// One [`LimitFault`] for each limit that is out of range.
    pub fn check(&self, ceiling: &Self) -> Result<(), Vec<LimitFault>> {
        let faults = Self::TABLE.iter().filter_map(|limit| {
            let (found, most) = (limit.get(self), limit.get(ceiling).min(limit.max));
            let text = |value| Amount(value, limit.unit).to_string();
            if found < limit.min {
                Some(LimitFault::BelowMinimum { name: limit.name, found: text(found), min: text(limit.min) })
            } else if found > most {
                Some(LimitFault::AboveCeiling { name: limit.name, found: text(found), ceiling: text(most) })
            } else {
                None
            }
        });
        let faults: Vec<_> = faults.collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// A value with its unit, as a person writes it: `10 MiB`, `5 s`, `16`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Amount(pub u64, pub Unit);

const BYTE_UNITS: [(&str, u64); 4] = [("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1)];
const TIME_UNITS: [(&str, u64); 3] = [("min", MINUTE), ("s", SECOND), ("ms", 1)];

impl Amount {
    fn units(unit: Unit) -> &'static [(&'static str, u64)] {
        match unit {
            Unit::Bytes => &BYTE_UNITS,
            Unit::Millis => &TIME_UNITS,
            Unit::Count => &[],
        }
    }

    /// Reads `text` in the notation of `unit`.
    ///
    /// # Errors
    /// A sentence that says what would be accepted.
    pub fn parse(text: &str, unit: Unit) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let suffix = suffix.trim();
        let units = Self::units(unit);
        let scale = if suffix.is_empty() {
            Some(1)
        } else {
            units.iter().find(|(name, _)| name.eq_ignore_ascii_case(suffix)).map(|(_, scale)| *scale)
        };
        let value = number.parse::<u64>().ok().zip(scale).and_then(|(number, scale)| number.checked_mul(scale));
        value.map(|value| Self(value, unit)).ok_or_else(|| match unit {
            Unit::Bytes => format!("`{text}` is no size; write bytes, or 64KiB, 10MiB, 1GiB"),
            Unit::Millis => format!("`{text}` is no time; write milliseconds, or 250ms, 5s, 10min"),
            Unit::Count => format!("`{text}` is no whole number"),
        })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = Self::units(self.1).iter().find(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale));
        match largest {
            Some((name, scale)) => write!(f, "{} {name}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_lie_within_the_ceiling() {
        assert_eq!(Limits::default().check(&Limits::ceiling()), Ok(()));
    }

    #[test]
    fn each_limit_is_accepted_at_its_bounds_and_refused_beyond_them() {
        for limit in Limits::TABLE {
            let with = |value| {
                let mut limits = Limits::default();
                limit.set(&mut limits, value);
                limits.check(&Limits::ceiling())
            };
            assert_eq!((with(limit.min), with(limit.max)), (Ok(()), Ok(())), "{}", limit.name);
            let over = with(limit.max + 1);
            assert!(matches!(over.as_ref().map_err(Vec::as_slice), Err([LimitFault::AboveCeiling { .. }])), "{}: {over:?}", limit.name);
            if let Some(less) = limit.min.checked_sub(1) {
                let under = with(less);
                assert!(
                    matches!(under.as_ref().map_err(Vec::as_slice), Err([LimitFault::BelowMinimum { .. }])),
                    "{}: {under:?}",
                    limit.name
                );
            }
        }
    }

    #[test]
    fn every_limit_that_an_author_may_name_is_one() {
        assert_eq!(Limits::TABLE.iter().filter(|limit| limit.is_authors()).count(), AUTHORS.len());
    }

    #[test]
    fn an_authors_word_makes_limits_smaller_and_never_larger() {
        let own: OwnLimits =
            serde_json::from_str(r#"{"memory": 67108864, "guest_cpu": 60000, "max_body": 0, "head_timeout": 0, "weight": 1, "later": 1}"#)
                .unwrap();
        let limits = Limits { guest_cpu_ms: 2 * SECOND, ..Limits::default() };
        let expected = Limits { memory_bytes: 64 * MIB, request_body_bytes: 0, head_wall_ms: 1, ..limits.clone() };
        assert_eq!(limits.clone().within(&own), expected);
        assert_eq!(expected.clone().within(&own), expected);
        assert_eq!(own.unmet(&limits).collect::<Vec<_>>(), ["its wasgi.toml asks for `limits.guest_cpu` of 1 min, and has 2 s"]);
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_in_units() {
        let limits = Limits { guest_cpu_ms: 0, memory_bytes: 8 * GIB, ..Limits::default() };
        let faults = limits.check(&Limits::ceiling()).unwrap_err();
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["memory_bytes: 8 GiB is above the ceiling of 4 GiB", "guest_cpu_ms: 0 is below the minimum of 1 ms"]);
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        let parse = |text, unit| Amount::parse(text, unit).map(|amount| amount.0);
        assert_eq!(parse("300MiB", Unit::Bytes), Ok(300 * MIB));
        assert_eq!(parse("64 kib", Unit::Bytes), Ok(64 * KIB));
        assert_eq!(parse("1500", Unit::Millis), Ok(1500));
        assert_eq!(parse("5s", Unit::Millis), Ok(5_000));
        assert_eq!(parse("", Unit::Count), Err("`` is no whole number".into()));
        assert_eq!(parse("99999999999GiB", Unit::Bytes), Err("`99999999999GiB` is no size; write bytes, or 64KiB, 10MiB, 1GiB".into()));
        assert_eq!(parse("-1", Unit::Count), Err("`-1` is no whole number".into()));
    }
}
