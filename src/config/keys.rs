//! What may stand in a `host.toml`: each key with its kind and what it means. The reader, the messages and the schema are made from it.

use serde_json::{Map, Value, json};

use crate::limits::{Limit, Limits, Unit};

/// A key.
pub(super) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

/// What a key's value is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Texts,
    /// One text, or several.
    TextOrTexts,
    Switch,
    Number,
    /// A time, as `30s`.
    Time,
    Size,
    Choice(&'static [&'static str]),
    /// Names and texts.
    Variables,
    /// Limits by their names.
    Limits(Whose),
    Table(&'static [Key]),
    Tables(&'static [Key]),
    /// `true`, or a path.
    SwitchOrText,
}

/// Who sets limits.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    Operators,
    Authors,
}

impl Whose {
    /// What may be set.
    pub(super) fn limits(self) -> impl Iterator<Item = &'static Limit> {
        Limits::TABLE.iter().filter(move |limit| matches!(self, Self::Operators) || limit.is_authors())
    }
}

const fn key(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, help }
}

/// The whole file.
pub(super) const HOST: &[Key] = &[
    key("host", Kind::Table(PROCESS), "the host's own processes"),
    key("listen", Kind::Table(LISTEN), "where it listens"),
    key("proxies", Kind::Table(PROXIES), "proxies that are believed"),
    key("log", Kind::Table(LOG), "where lines go"),
    key("admin", Kind::Table(ADMIN), "where it is looked at and told what to do"),
    key("watch", Kind::Table(WATCH), "a folder whose built files are served"),
    key("defaults", Kind::Table(DEFAULTS), "what holds where a tenant or an application says nothing"),
    key("ceilings", Kind::Limits(Whose::Operators), "what no tenant and no application may go beyond"),
    key("worker_group", Kind::Tables(GROUP), "workers of their own, behind listeners of their own, for tenants of one degree of trust"),
    key("tenant", Kind::Tables(TENANT), "a tenant"),
    key("app", Kind::Tables(APP), "an application of a tenant"),
];

/// An application's own file.
pub(super) const PROJECT: &[Key] = &[
    key("name", Kind::Text, "the application's name"),
    key("app", Kind::Text, "where it is: module:name"),
    key("build", Kind::Table(BUILD), "how it is built"),
    key("python", Kind::Table(PYTHON), "what Python lacks in the sandbox"),
    key("c", Kind::Table(C), "what of C is compiled"),
    key("javascript", Kind::Table(JAVASCRIPT), "what runs JavaScript"),
    key("static", Kind::Variables, "URL paths, and where their files lie: in the application's folder, or in /data"),
    key("env", Kind::Variables, "variables where the tenant's environment has none of the name; not for secrets"),
    key("limits", Kind::Limits(Whose::Authors), "limits that are to be smaller than its operator's"),
];

const BUILD: &[Key] = &[key("warm", Kind::Texts, "paths that are requested before the first request")];

const PYTHON: &[Key] = &[
    key("threads", Kind::Choice(&["inline"]), "`inline`: a thread runs when it is started"),
    key("stubs", Kind::Texts, "modules that are stubbed: fcntl, grp, pwd, ssl"),
];

const C: &[Key] = &[
    key("sources", Kind::Texts, "what is compiled, seen from the folder; every .c file in it without"),
    key("flags", Kind::Texts, "flags for the compiler"),
];

const JAVASCRIPT: &[Key] = &[key("engine", Kind::Choice(&["starlingmonkey", "quickjs"]), "the engine; starlingmonkey without")];

/// One application by itself.
pub(super) const ONE_APP: &[Key] = &[key("app", Kind::Tables(APP), "an application of a tenant")];

const PROCESS: &[Key] = &[
    key("workers", Kind::Number, "processes that serve; one a core without"),
    key("state", Kind::Text, "a folder for what is kept from one run to the next; seen from this file"),
    key("cache", Kind::Text, "a folder for compiled code"),
    key(
        "max_cache",
        Kind::Size,
        "what lies there may take so much; of what is not served, the least recently used goes first; 10GiB without",
    ),
    key("max_apps", Kind::Number, "applications that there is room for; 1000 without"),
    key("stages", Kind::Number, "applications that are compiled at once; 1 without"),
    key("stop_grace", Kind::Time, "how long a stop waits for requests in flight; 30s without"),
    key("rewind", Kind::Choice(&["userfaultfd", "private"]), "how instances are rewound; the best way that the kernel has without"),
    key("verify_rewind", Kind::Switch, "whether every memory that was rewound is compared with what it was, whole"),
    key("require_sandbox", Kind::Switch, "whether a kernel without landlock or seccomp is refused"),
];

const LISTEN: &[Key] = &[key("bind", Kind::TextOrTexts, "addresses with ports; 127.0.0.1:8000 without")];

const PROXIES: &[Key] = &[
    key("networks", Kind::Texts, "where they are: addresses or networks"),
    key("fields", Kind::Texts, "what they set of every request: forwarded, x-forwarded-for, -proto, -host, -prefix, x-request-id"),
    key("hops", Kind::Number, "how many of them a request comes through; 1 without"),
];

const LOG: &[Key] = &[
    key("lines", Kind::Choice(&["text", "json"]), "how lines are written"),
    key("access", Kind::Choice(&["text", "combined", "json"]), "how requests are logged; not at all without"),
    key("tenants", Kind::Choice(&["folder", "terminal"]), "whether each tenant's lines go to a file of its own, or to standard error"),
    key("folder", Kind::Text, "where those files lie; in the state's folder without"),
    key("max_file", Kind::Size, "the length at which a file makes room for the next; 10MiB without"),
];

const ADMIN: &[Key] = &[
    key("socket", Kind::Text, "a Unix socket; in the state's folder without"),
    key("bind", Kind::Text, "an address of the loopback, too; it needs a token"),
    key("token_file", Kind::Text, "a file with the token that requests over `bind` carry"),
];

const WATCH: &[Key] = &[
    key("folder", Kind::Text, "TENANT.wasm in it is served, replaced with it, and goes with it"),
    key("domain", Kind::Text, "each is served at TENANT.DOMAIN; at the path /TENANT without"),
];

const DEFAULTS: &[Key] = &[key("limits", Kind::Limits(Whose::Operators), "limits")];

const GROUP: &[Key] = &[
    key("name", Kind::Text, "its name"),
    key("workers", Kind::Number, "its processes; 1 without"),
    key("bind", Kind::TextOrTexts, "where it listens"),
];

const TENANT: &[Key] = &[
    key("name", Kind::Text, "its name: a-z, 0-9 and -"),
    key("worker_group", Kind::Text, "its workers"),
    key("limits", Kind::Limits(Whose::Operators), "what all its applications together may use, and each by itself"),
];

const APP: &[Key] = &[
    key("tenant", Kind::Text, "whose it is"),
    key("name", Kind::Text, "its name among its tenant's; the tenant's without"),
    key("source", Kind::Text, "the built file, seen from this one"),
    key("host", Kind::TextOrTexts, "host names that it is served at; all that have nothing of their own without"),
    key("path", Kind::Text, "where it is mounted (SCRIPT_NAME); / without"),
    key("isolation", Kind::Choice(&["request", "rewind", "reuse"]), "what of one request the next can see"),
    key("strict", Kind::Switch, "whether rules of WSGI that it breaks are told in its log"),
    key("uploads", Kind::Choice(&["streamed", "buffered"]), "how it is given uploads without a length; as its framework reads without"),
    key("data", Kind::SwitchOrText, "a folder that it may write, as /data: one in the state's folder, or this one"),
    key("env", Kind::Variables, "its environment; secrets belong in a file"),
    key("env_file", Kind::TextOrTexts, "files with lines NAME=VALUE"),
    key("check", Kind::Text, "the path of the first request, which has to be answered before it is switched in; / without"),
    key("suspended", Kind::Switch, "whether it answers 503"),
    key(
        "shared_release",
        Kind::Switch,
        "whether others of the same file and environment have its release too, with what it drew at random while it was imported",
    ),
    key("limits", Kind::Limits(Whose::Operators), "what each of its requests may use"),
];

/// Limits that hold for a connection before it is known whose it is.
const HOSTS: [&str; 9] = [
    "worker_instances",
    "connections",
    "peer_connections",
    "head_read_ms",
    "idle_ms",
    "request_line_bytes",
    "request_field_bytes",
    "request_head_bytes",
    "request_fields",
];

/// Limits of a tenant's applications together.
const TENANTS: [&str; 8] =
    ["tenant_memory_bytes", "instances", "cpu_share_percent", "weight", "tenant_log_bytes_per_s", "concurrency", "queue", "queue_wall_ms"];

/// Whose limit it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    Host,
    Tenant,
    App,
}

/// Where a limit may be set: there, and above.
pub(super) fn scope(limit: &Limit) -> Scope {
    if HOSTS.contains(&limit.name) {
        Scope::Host
    } else if TENANTS.contains(&limit.name) {
        Scope::Tenant
    } else {
        Scope::App
    }
}

/// The JSON Schema of a `host.toml`, for editors.
#[must_use]
pub fn schema() -> Value {
    schema_of(HOST, "host.toml of wasgi")
}

pub(super) fn schema_of(keys: &[Key], title: &str) -> Value {
    let mut schema = object(keys);
    if let Some(root) = schema.as_object_mut() {
        root.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        root.insert("title".to_owned(), title.into());
    }
    schema
}

fn object(keys: &[Key]) -> Value {
    let properties: Map<_, _> = keys
        .iter()
        .map(|key| {
            let mut value = kind(key.kind);
            if let Some(value) = value.as_object_mut() {
                value.insert("description".to_owned(), key.help.into());
            }
            (key.name.to_owned(), value)
        })
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::TextOrTexts => json!({ "type": ["string", "array"], "items": { "type": "string" } }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Number => json!({ "type": "integer", "minimum": 1 }),
        Kind::Time => json!({ "type": ["string", "integer"], "pattern": "^[0-9]+ *(ms|s|min)?$" }),
        Kind::Size => json!({ "type": ["string", "integer"], "pattern": "^[0-9]+ *([KMGkmg]i?[Bb]|[Bb])?$" }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::Variables => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Limits(whose) => limits(whose),
        Kind::Table(keys) => object(keys),
        Kind::Tables(keys) => json!({ "type": "array", "items": object(keys) }),
        Kind::SwitchOrText => json!({ "type": ["boolean", "string"] }),
    }
}

fn limits(whose: Whose) -> Value {
    let of = |limit: &Limit| {
        let mut value = kind(match limit.unit {
            Unit::Bytes => Kind::Size,
            Unit::Millis => Kind::Time,
            Unit::Count => Kind::Number,
        });
        if let Some(value) = value.as_object_mut() {
            value.remove("minimum");
            value.insert("description".to_owned(), limit.help.trim().into());
        }
        (limit.key(), value)
    };
    let properties: Map<_, _> = whose.limits().map(of).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_that_belongs_to_the_host_or_to_a_tenant_is_one() {
        let names: Vec<_> = Limits::TABLE.iter().map(|limit| limit.name).collect();
        assert!(HOSTS.iter().chain(&TENANTS).all(|name| names.contains(name)));
    }
}
