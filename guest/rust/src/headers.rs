//! The fields of a head while it is put together, as `wsgiref.headers.Headers` has them.

/// Fields in their order, with names that compare without case. Those of one name may repeat.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// All values of `name`.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Adds a field, whatever there is of its name.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds a field with parameters: `add_header("Content-Disposition", "attachment", &[("filename", "a.txt")])`.
    pub fn add_header(&mut self, name: &str, value: &str, parameters: &[(&str, &str)]) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let parameters: String = parameters.iter().map(|(key, value)| format!("; {key}=\"{}\"", escaped(value))).collect();
        self.add(name, format!("{value}{parameters}"));
    }

    /// The one field of its name from now on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.add(name, value);
    }

    /// The value of `name`, which is `value` if there was none.
    pub fn set_default(&mut self, name: &str, value: &str) -> &str {
        if self.get(name).is_none() {
            self.add(name, value);
        }
        self.get(name).unwrap_or_default()
    }

    /// Removes all fields of `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// As start_response takes them.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}
