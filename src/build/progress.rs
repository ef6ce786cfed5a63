//! What a build says while it works. The command line prints it; a test or an embedder may not care.

/// Takes what is to be said. The command line and the silence of embedders implement it.
pub trait Progress {
    /// A step has begun, or was found done: a word, and what about it.
    fn step(&self, word: &str, text: &str);
    /// The author should know this.
    fn warn(&self, text: &str);
}

/// Says nothing.
impl Progress for () {
    fn step(&self, _: &str, _: &str) {}

    fn warn(&self, _: &str) {}
}
