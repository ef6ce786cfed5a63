use crate::Input;

/// The environ of one request (PEP 3333, "environ Variables"): names and native strings, each character a byte.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Environ(Vec<(String, String)>);

impl Environ {
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The value of `name`, as `"HTTP_ACCEPT"`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Sets the value of `name`: the environ is the application's to change.
    pub fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `REQUEST_METHOD`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.get("REQUEST_METHOD").unwrap_or_default()
    }

    /// `PATH_INFO`.
    #[must_use]
    pub fn path_info(&self) -> &str {
        self.get("PATH_INFO").unwrap_or_default()
    }

    /// `PATH_INFO` as text: its bytes read as UTF-8.
    #[must_use]
    pub fn path(&self) -> String {
        String::from_utf8_lossy(&bytes(self.path_info())).into_owned()
    }

    /// `QUERY_STRING`.
    #[must_use]
    pub fn query_string(&self) -> &str {
        self.get("QUERY_STRING").unwrap_or_default()
    }

    /// `CONTENT_LENGTH`, where the client gave one.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.get("CONTENT_LENGTH")?.parse().ok()
    }

    /// `wsgi.input`: the request's body.
    #[must_use]
    pub fn input(&self) -> Input {
        Input::new()
    }

    /// `wsgi.url_scheme`: "http" or "https".
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.get("wsgi.url_scheme").unwrap_or("http")
    }

    /// The application's own address (PEP 3333, "URL Reconstruction"), as `wsgiref.util.application_uri`.
    #[must_use]
    pub fn application_uri(&self) -> String {
        let scheme = self.scheme();
        let host = self.get("HTTP_HOST").filter(|host| !host.is_empty()).map_or_else(|| self.server(), str::to_owned);
        let mount = self.get("SCRIPT_NAME").filter(|mount| !mount.is_empty()).unwrap_or("/");
        format!("{scheme}://{host}{}", quoted(mount, "/"))
    }

    fn server(&self) -> String {
        let (name, port) = (self.get("SERVER_NAME").unwrap_or_default(), self.get("SERVER_PORT").unwrap_or_default());
        let usual = if self.scheme() == "https" { "443" } else { "80" };
        if port == usual { name.to_owned() } else { format!("{name}:{port}") }
    }

    /// The address of the request, as `wsgiref.util.request_uri`.
    #[must_use]
    pub fn request_uri(&self) -> String {
        let path = quoted(self.path_info(), "/;=,");
        let mounted = self.get("SCRIPT_NAME").is_some_and(|mount| !mount.is_empty());
        let path = if mounted { &path } else { path.strip_prefix('/').unwrap_or(&path) };
        let query = match self.query_string() {
            "" => String::new(),
            query => format!("?{query}"),
        };
        format!("{}{path}{query}", self.application_uri())
    }

    /// Moves the first segment of `PATH_INFO` to `SCRIPT_NAME`, as `wsgiref.util.shift_path_info`; None: there is none.
    pub fn shift_path_info(&mut self) -> Option<String> {
        let path = self.path_info().strip_prefix('/')?.to_owned();
        let segments: Vec<_> = path.split('/').collect();
        // Empty segments and dots count for nothing, but for the last.
        let last = segments.len() - 1;
        let mut kept =
            segments.iter().enumerate().filter(|(at, segment)| *at == last || !matches!(**segment, "" | ".")).map(|(_, segment)| *segment);
        let name = kept.next().unwrap_or_default();
        let rest: String = kept.flat_map(|segment| ["/", segment]).collect();
        let mut mount: Vec<&str> = Vec::new();
        for segment in self.get("SCRIPT_NAME").unwrap_or_default().split('/').chain([name]) {
            match segment {
                "" | "." => {}
                ".." => drop(mount.pop()),
                segment => mount.push(segment),
            }
        }
        let mut mount: String = mount.into_iter().flat_map(|segment| ["/", segment]).collect();
        if name.is_empty() {
            mount.push('/');
        }
        self.set("SCRIPT_NAME", mount);
        self.set("PATH_INFO", rest);
        (name != ".").then(|| name.to_owned())
    }
}

/// A native string's bytes.
#[must_use]
pub fn bytes(native: &str) -> Vec<u8> {
    native.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}

/// Bytes as a native string.
#[must_use]
pub fn native(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// As Python's `urllib.parse.quote`: a native string's characters are bytes.
fn quoted(native: &str, safe: &str) -> String {
    let mut quoted = String::new();
    for c in native.chars() {
        if c.is_ascii_alphanumeric() || "_.-~".contains(c) || safe.contains(c) {
            quoted.push(c);
        } else {
            quoted.push_str(&format!("%{:02X}", u32::from(c)));
        }
    }
    quoted
}
