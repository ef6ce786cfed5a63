//! The names of what is hosted: the tenant, and the path at which its application is mounted.
//!
//! Types that cannot be wrong once they exist: everything behind them may use them in log lines, file names and environ unchecked.

use std::{fmt, sync::Arc};

use thiserror::Error;

/// A tenant's name: 1 to 63 bytes of `[a-z0-9-]`, so that it is safe in a log line, a path and a metric's label.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

impl TryFrom<String> for TenantId {
    type Error = BadTenantId;

    fn try_from(name: String) -> Result<Self, BadTenantId> {
        Self::new(&name)
    }
}

impl From<TenantId> for String {
    fn from(name: TenantId) -> Self {
        name.as_str().to_owned()
    }
}

/// A name that is no [`TenantId`].
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` is no tenant's name: 1 to 63 of a-z, 0-9 and -")]
pub struct BadTenantId(String);

impl TenantId {
    /// Takes `name` as it is.
    ///
    /// # Errors
    /// [`BadTenantId`] if it is empty, longer than 63 bytes, or has other characters.
    pub fn new(name: &str) -> Result<Self, BadTenantId> {
        let good = (1..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if good { Ok(Self(name.into())) } else { Err(BadTenantId(name.chars().take(80).collect())) }
    }

    /// Makes a name of any text, as a file's: other characters become `-`, upper case lower, and an empty result `app`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(63).collect();
        let name = name.trim_matches('-');
        Self(if name.is_empty() { "app" } else { name }.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an application is mounted: its `SCRIPT_NAME`. Empty for the root, else `/a` or `/a/b`, never with a slash at the end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount(Arc<str>);

impl Default for Mount {
    fn default() -> Self {
        Self("".into())
    }
}

/// A path that is no [`Mount`].
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` is no mount: write `/` or `/name`, of printable ASCII without `%`, `?`, `#`, `//` and a slash at the end")]
pub struct BadMount(String);

impl Mount {
    /// Takes `/` for the root, or a decoded path.
    ///
    /// # Errors
    /// [`BadMount`] for everything that a request's path could not begin with.
    pub fn new(path: &str) -> Result<Self, BadMount> {
        let bad = |c: char| !c.is_ascii_graphic() || matches!(c, '%' | '?' | '#');
        match path {
            "" | "/" => Ok(Self::default()),
            _ if path.starts_with('/') && !path.ends_with('/') && !path.contains("//") && !path.contains(bad) => Ok(Self(path.into())),
            _ => Err(BadMount(path.chars().take(80).collect())),
        }
    }

    /// The `SCRIPT_NAME`.
    #[must_use]
    pub fn script_name(&self) -> &str {
        &self.0
    }

    /// The `PATH_INFO` of `path` below this mount, matched on a segment's boundary (S9), or `None` when it lies elsewhere.
    #[must_use]
    pub fn path_info<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&*self.0)?;
        (self.0.is_empty() || rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

/// A host name that an application is served at, in lower case and without a port.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum HostName {
    /// This one.
    Exact(String),
    /// All below one, which is kept with its dot: `.example.com`.
    Under(String),
}

/// A text that is no [`HostName`].
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` is no host name: write `example.com`, `*.example.com` or an address, without a port")]
pub struct BadHostName(String);

impl HostName {
    /// Takes `example.com`, `*.example.com`, `192.0.2.1` or `[2001:db8::1]`.
    ///
    /// # Errors
    /// [`BadHostName`] for everything else.
    pub fn new(text: &str) -> Result<Self, BadHostName> {
        let bad = || BadHostName(text.chars().take(80).collect());
        let is_label =
            |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let is_name = |name: &str| name.len() <= 253 && name.split('.').all(is_label);
        let lower = text.to_ascii_lowercase();
        let literal = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match (lower.strip_prefix("*."), literal) {
            (Some(name), _) if is_name(name) => Ok(Self::Under(format!(".{name}"))),
            (None, Some(address)) if address.parse::<std::net::Ipv6Addr>().is_ok() => Ok(Self::Exact(lower)),
            (None, None) if is_name(&lower) => Ok(Self::Exact(lower)),
            _ => Err(bad()),
        }
    }

    /// What a client wrote in Host, as names are compared: in lower case, without a port and a last dot.
    #[must_use]
    pub fn asked(host: &str) -> String {
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((literal, _)) => host.get(..literal.len() + 2).unwrap_or(host),
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Under(end) => write!(f, "*{end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_name_is_made_of_any_text() {
        let of = |text| TenantId::of(text).as_str().to_owned();
        assert_eq!([of("My App_2"), of("…"), of(""), of("x")], ["my-app-2", "app", "app", "x"]);
        assert_eq!(TenantId::new(&"a".repeat(63)).map(|id| id.as_str().len()), Ok(63));
        assert_eq!(TenantId::new(&"a".repeat(64)), Err(BadTenantId("a".repeat(64))));
        assert_eq!(TenantId::new("A"), Err(BadTenantId("A".into())));
    }

    #[test]
    fn a_host_name_is_read_as_people_write_it_and_compared_as_clients_do() {
        for (text, shown) in [("Example.COM", "example.com"), ("*.a.b", "*.a.b"), ("127.0.0.1", "127.0.0.1"), ("[::1]", "[::1]")] {
            assert_eq!(HostName::new(text).map(|name| name.to_string()), Ok(shown.to_owned()));
        }
        for bad in ["", ".", "*.", "*", "a..b", "a.b:80", "a b", "[::1]:80", "*.*.a", "a.*"] {
            assert_eq!(HostName::new(bad), Err(BadHostName(bad.into())), "{bad}");
        }
        let asked = ["A.b:80", "a.b.", "[::1]:8000", "[::1]", ""].map(HostName::asked);
        assert_eq!(asked, ["a.b", "a.b", "[::1]", "[::1]", ""]);
    }

    #[test]
    fn s9_a_mount_matches_on_a_segment_boundary() {
        let mount = Mount::new("/app").unwrap();
        assert_eq!(mount.path_info("/app"), Some(""));
        assert_eq!(mount.path_info("/app/x"), Some("/x"));
        assert_eq!(mount.path_info("/apple"), None);
        assert_eq!(mount.path_info("/"), None);
        assert_eq!(Mount::new("/").unwrap().path_info("/x"), Some("/x"));
    }

    #[test]
    fn s6_a_script_name_is_never_a_slash() {
        assert_eq!(Mount::new("/").map(|mount| mount.script_name().to_owned()), Ok(String::new()));
        for bad in ["app", "/app/", "//a", "/a b", "/a%20", "/a?b", "/é"] {
            assert_eq!(Mount::new(bad), Err(BadMount(bad.into())));
        }
    }
}
