//! What is wrong with a file, as a person reads it: all of it at once, each with the line it stands in.

use std::{fmt, ops::Range, path::PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Something wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Mistake {
    pub at: Range<usize>,
    /// What: with the key.
    pub what: String,
    /// What would be right.
    pub allowed: String,
}

/// What is wrong with a file.
#[derive(Clone, Debug)]
pub struct Mistakes {
    pub(super) file: PathBuf,
    pub(super) text: String,
    pub(super) found: Vec<Mistake>,
}

impl Mistakes {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.found.len()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.file.display().to_string();
        for mistake in &self.found {
            let end = mistake.at.end.min(self.text.len());
            let at = mistake.at.start.min(end)..end;
            let snippet = Snippet::source(&self.text).path(&path).annotation(AnnotationKind::Primary.span(at).label(&mistake.allowed));
            let group = Level::ERROR.primary_title(&mistake.what).element(snippet);
            writeln!(f, "{}", Renderer::plain().render(&[group]))?;
        }
        let count = self.count();
        writeln!(f, "{path} has {count} problem{}", if count == 1 { "" } else { "s" })
    }
}
