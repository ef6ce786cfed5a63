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
}
