//! Which line of a source a place in a component's code came from: what a trap's backtrace names.
//!
//! Debugging information (DWARF) is whatever its author put there, and takes as long to read as they like. So it is read once, by the process that
//! compiles, into a table that is looked up without being read: rows of a place, a file and a line, in the order of places.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use gimli::{AttributeValue, Dwarf, EndianSlice, LineProgramHeader, LittleEndian, SectionId, Unit};
use wasmparser::{Parser, Payload};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Rows of a table at most; a row has 12 bytes.
const ROWS: usize = 4 << 20;
/// Files that it names at most: names are their author's, and may be long.
const FILES: usize = 16 << 10;
/// The longest name of a file.
const NAME: usize = 4 << 10;
const ROW: usize = 12;

/// Where a sequence of instructions begins, and the line that it came from; line 0: nothing is known from here on.
struct Row {
    place: u32,
    file: usize,
    line: u32,
}

/// The table of a component, as bytes; None: it has no debugging information that can be read.
#[must_use]
pub fn table(component: &[u8]) -> Option<Vec<u8>> {
    let (mut rows, mut files) = (Vec::new(), Vec::new());
    let (mut code, mut sections) = (None, Vec::new());
    for payload in Parser::new(0).parse_all(component) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "of 30 kinds of section these matter")]
        match payload.ok()? {
            Payload::CodeSectionStart { range, .. } => code = Some(range.start),
            Payload::CustomSection(section) if section.name().starts_with(".debug_") => sections.push((section.name(), section.data())),
            Payload::End(_) => {
                if let (Some(code), false) = (code.take(), sections.is_empty()) {
                    // What cannot be read of it is left out.
                    read(&sections, u32::try_from(code).ok()?, &mut rows, &mut files).unwrap_or_default();
                }
                sections.clear();
            }
            _ => {}
        }
    }
    // Behind an end, another sequence may begin at the same place.
    rows.sort_by_key(|row: &Row| (row.place, row.line != 0));
    (!rows.is_empty()).then(|| written(&rows, &files)).flatten()
}

fn read(sections: &[(&str, &[u8])], code: u32, rows: &mut Vec<Row>, files: &mut Vec<String>) -> gimli::Result<()> {
    let section = |id: SectionId| {
        let data = sections.iter().find(|(name, _)| *name == id.name()).map_or(&[][..], |(_, data)| data);
        Ok::<_, gimli::Error>(EndianSlice::new(data, LittleEndian))
    };
    let dwarf = Dwarf::load(section)?;
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        let Some(program) = unit.line_program.clone() else { continue };
        let mut names: Vec<Option<usize>> = Vec::new();
        let mut program = program.rows();
        let mut dead = false;
        let mut begins = true;
        while let Some((header, row)) = program.next_row()? {
            if begins {
                // A linker that drops a function leaves its lines at place 0.
                dead = row.address() == 0;
            }
            begins = row.end_sequence();
            let place = u32::try_from(row.address()).ok().and_then(|address| address.checked_add(code));
            let (Some(place), false) = (place, dead) else { continue };
            if rows.len() >= ROWS || files.len() >= FILES {
                return Ok(());
            }
            let at = usize::try_from(row.file_index()).unwrap_or(usize::MAX);
            if at < NAME && names.len() <= at {
                names.resize(at + 1, None);
            }
            let file = match names.get_mut(at) {
                Some(Some(file)) => Some(*file),
                Some(empty) => {
                    files.push(name(&dwarf, &unit, header, row.file_index()).unwrap_or_default());
                    *empty = Some(files.len() - 1);
                    *empty
                }
                None => None,
            };
            let line = row.line().filter(|_| !row.end_sequence()).and_then(|line| u32::try_from(line.get()).ok());
            let known = file.zip(line);
            rows.push(Row { place, file: known.map_or(0, |(file, _)| file), line: known.map_or(0, |(_, line)| line) });
        }
    }
    Ok(())
}

/// The name of a file, with its folder.
fn name(dwarf: &Dwarf<Slice<'_>>, unit: &Unit<Slice<'_>>, header: &LineProgramHeader<Slice<'_>>, index: u64) -> Option<String> {
    let file = header.file(index)?;
    let text = |value: AttributeValue<Slice<'_>>| -> Option<String> {
        let value = dwarf.attr_string(unit, value).ok()?;
        Some(value.to_string_lossy().chars().take(NAME / 4).collect())
    };
    let folder = file.directory(header).and_then(text).unwrap_or_default();
    let begun = unit.comp_dir.map(|folder| folder.to_string_lossy().chars().take(NAME / 4).collect::<String>()).unwrap_or_default();
    let path = Path::new(&begun).join(folder).join(text(file.path_name())?);
    Some(path.display().to_string())
}

/// How many rows, the rows, and the names that they point to.
fn written(rows: &[Row], files: &[String]) -> Option<Vec<u8>> {
    let mut names = Vec::new();
    let behind = 4 + rows.len() * ROW;
    let mut places = Vec::new();
    for file in files {
        places.push(u32::try_from(behind + names.len()).ok()?);
        let name = file.as_bytes().get(..file.len().min(NAME)).unwrap_or_default();
        names.extend(u32::try_from(name.len()).ok()?.to_le_bytes());
        names.extend(name);
    }
    let mut bytes = Vec::from(u32::try_from(rows.len()).ok()?.to_le_bytes());
    for row in rows {
        let file = places.get(row.file).copied().unwrap_or_default();
        bytes.extend([row.place, file, row.line].into_iter().flat_map(u32::to_le_bytes));
    }
    bytes.extend(names);
    Some(bytes)
}

/// A table on disk.
#[derive(Clone, Debug)]
pub struct Lines(PathBuf);

impl Lines {
    /// The table in a file of the private cache; None: there is none.
    #[must_use]
    pub fn at(file: PathBuf) -> Option<Self> {
        file.is_file().then_some(Self(file))
    }

    /// `file:line` for each place, where it is known. A file that is not as it was written knows less.
    pub(super) fn find(&self, places: impl Iterator<Item = Option<usize>>) -> Vec<Option<String>> {
        let file = File::open(&self.0);
        places.map(|place| find(file.as_ref().ok()?, u32::try_from(place?).ok()?).ok()?).collect()
    }
}

/// Looks for the last row that is not behind `place`.
fn find(file: &File, place: u32) -> io::Result<Option<String>> {
    let number = |at: u64| {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, at).map(|()| u32::from_le_bytes(bytes))
    };
    let row = |index: u32| 4 + u64::from(index) * 12;
    let (mut low, mut high) = (0, number(0)?);
    while low < high {
        let middle = low + (high - low) / 2;
        if number(row(middle))? <= place { low = middle + 1 } else { high = middle }
    }
    let Some(found) = low.checked_sub(1) else { return Ok(None) };
    let (name, line) = (u64::from(number(row(found) + 4)?), number(row(found) + 8)?);
    if line == 0 {
        return Ok(None);
    }
    let length = usize::try_from(number(name)?).unwrap_or(usize::MAX).min(NAME);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, name + 4)?;
    Ok(Some(format!("{}:{line}", String::from_utf8_lossy(&bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(bytes: &[u8], places: &[usize]) -> Vec<Option<String>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lines");
        std::fs::write(&file, bytes).unwrap();
        Lines::at(file).unwrap().find(places.iter().map(|place| Some(*place)))
    }

    #[test]
    fn a_place_has_the_line_of_the_row_before_it_and_nothing_behind_an_end() {
        let row = |place, file, line| Row { place, file, line };
        let rows = [row(10, 0, 1), row(20, 1, 7), row(30, 0, 0), row(40, 0, 9)];
        let bytes = written(&rows, &["a.c".to_owned(), "b.c".to_owned()]).unwrap();
        let found = looked_up(&bytes, &[9, 10, 19, 20, 29, 30, 39, 40, 4_000_000_000]);
        let expected = [None, Some("a.c:1"), Some("a.c:1"), Some("b.c:7"), Some("b.c:7"), None, None, Some("a.c:9"), Some("a.c:9")];
        assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        for length in 0..bytes.len() {
            looked_up(&bytes[..length], &[10, 20, 40]);
        }
        assert_eq!(looked_up(&[0xff; 64], &[10, usize::MAX]), [None, None]);
    }

    #[test]
    fn what_has_no_debugging_information_or_a_broken_one_has_no_table() {
        let plain = wat::parse_str("(component (core module (func)))").unwrap();
        assert_eq!(table(&plain), None);
        assert_eq!(table(b"no component"), None);
        let broken = wat::parse_str(r#"(component (core module (@custom ".debug_info" "x") (@custom ".debug_line" "\00\01\ff") (func)))"#);
        assert_eq!(table(&broken.unwrap()), None);
    }
}
