//! A TOML file as a tree whose every value knows its place, held against the keys that may stand there.

use std::{ops::Range, path::Path};

use toml::de::{DeTable, DeValue};

use super::{
    keys::{Key, Kind},
    mistakes::{Mistake, Mistakes},
};
use crate::limits::{Amount, Limit, Unit};

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub at: Range<usize>,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Switch(bool),
    List(Vec<Node>),
    Table(Vec<(String, Range<usize>, Node)>),
    /// What no key takes: a float, a date, a negative number.
    Odd(&'static str),
}

/// A table: what stands in it, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    node: Option<&'a Node>,
}

/// Reads a file, and collects what is wrong with it.
#[derive(Debug)]
pub(super) struct Reader {
    pub mistakes: Mistakes,
    root: Node,
}

impl Reader {
    pub(super) fn of(file: &Path, text: &str, keys: &[Key]) -> Self {
        let mut mistakes = Mistakes { file: file.to_owned(), text: text.to_owned(), found: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().unwrap_or(0..0);
            mistakes.found.push(Mistake { at, what: error.message().to_owned(), allowed: "this is not TOML".to_owned() });
        }
        let root = Node { at: table.span(), value: table_of(table.get_ref()) };
        let mut reader = Self { mistakes, root };
        // What is no TOML is not looked at further: what is missing there is not what was written.
        if reader.mistakes.found.is_empty() {
            let root = reader.root.clone();
            reader.check(&root, keys, "");
        }
        reader
    }

    pub(super) fn root(&self) -> Node {
        self.root.clone()
    }

    pub(super) fn wrong(&mut self, at: &Range<usize>, what: impl Into<String>, allowed: impl Into<String>) {
        self.mistakes.found.push(Mistake { at: at.clone(), what: what.into(), allowed: allowed.into() });
    }

    /// Holds a table against its keys.
    fn check(&mut self, node: &Node, keys: &[Key], path: &str) {
        let Value::Table(entries) = &node.value else { return };
        for (name, at, value) in entries {
            match keys.iter().find(|key| key.name == name) {
                Some(key) => self.check_kind(value, key.kind, &joined(path, name)),
                None => self.unknown(at, &joined(path, name), name, &keys.iter().map(|key| key.name.to_owned()).collect::<Vec<_>>()),
            }
        }
    }

    fn check_kind(&mut self, node: &Node, kind: Kind, path: &str) {
        match (kind, &node.value) {
            (Kind::Text | Kind::TextOrTexts, Value::Text(_))
            | (Kind::Switch, Value::Switch(_))
            | (Kind::SwitchOrText, Value::Text(_) | Value::Switch(_)) => {}
            (Kind::Number, Value::Number(number)) if *number > 0 => {}
            (Kind::Texts | Kind::TextOrTexts, Value::List(list)) => {
                for item in list {
                    self.check_kind(item, Kind::Text, path);
                }
            }
            (Kind::Choice(choices), Value::Text(text)) if choices.contains(&text.as_str()) => {}
            (Kind::Time, _) => drop(self.amount(node, Unit::Millis, path)),
            (Kind::Size, _) => drop(self.amount(node, Unit::Bytes, path)),
            (Kind::Variables, Value::Table(entries)) => {
                for (name, _, value) in entries {
                    self.check_kind(value, Kind::Text, &joined(path, name));
                }
            }
            (Kind::Limits(whose), Value::Table(entries)) => {
                for (name, at, value) in entries {
                    match whose.limits().find(|limit| limit.key() == *name) {
                        Some(limit) => drop(self.amount(value, limit.unit, &joined(path, name))),
                        None => self.unknown(at, &joined(path, name), name, &whose.limits().map(Limit::key).collect::<Vec<_>>()),
                    }
                }
            }
            (Kind::Table(keys), Value::Table(_)) => self.check(node, keys, path),
            (Kind::Tables(keys), Value::List(tables)) => {
                for (number, table) in tables.iter().enumerate() {
                    let path = format!("{path}[{number}]");
                    if matches!(table.value, Value::Table(_)) {
                        self.check(table, keys, &path);
                    } else {
                        self.wrong(&table.at, format!("`{path}` is {}", said(&table.value)), "expected a table");
                    }
                }
            }
            (kind, value) => self.wrong(&node.at, format!("`{path}` is {}", said(value)), format!("expected {}", expected(kind))),
        }
    }

    fn unknown(&mut self, at: &Range<usize>, path: &str, name: &str, known: &[String]) {
        let close = known.iter().map(|key| (strsim::damerau_levenshtein(key, name), key)).min();
        let allowed = match close {
            Some((distance, key)) if distance <= 2.max(name.len() / 3) => format!("did you mean `{key}`?"),
            Some(_) | None => format!("known are {}", known.join(", ")),
        };
        self.wrong(at, format!("`{path}` is not known"), allowed);
    }

    /// A number with its unit.
    pub(super) fn amount(&mut self, node: &Node, unit: Unit, path: &str) -> Option<u64> {
        let found = match &node.value {
            Value::Number(number) => Ok(*number),
            Value::Text(text) => Amount::parse(text, unit).map(|amount| amount.0),
            Value::Switch(_) | Value::List(_) | Value::Table(_) | Value::Odd(_) => Err(match unit {
                Unit::Bytes => "write a size: bytes, or \"64KiB\", \"10MiB\", \"1GiB\"".to_owned(),
                Unit::Millis => "write a time: milliseconds, or \"250ms\", \"5s\", \"10min\"".to_owned(),
                Unit::Count => "write a whole number".to_owned(),
            }),
        };
        found.map_err(|allowed| self.wrong(&node.at, format!("`{path}` is {}", said(&node.value)), allowed)).ok()
    }
}

impl<'a> Section<'a> {
    pub(super) fn of(node: &'a Node) -> Self {
        Self { node: Some(node) }
    }

    /// Where it stands.
    pub(super) fn at(self) -> Range<usize> {
        self.node.map_or(0..0, |node| node.at.clone())
    }

    pub(super) fn get(self, name: &str) -> Option<&'a Node> {
        match &self.node?.value {
            Value::Table(entries) => entries.iter().find(|(key, ..)| key == name).map(|(_, _, node)| node),
            Value::Text(_) | Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Odd(_) => None,
        }
    }

    /// The entries of a table in it.
    pub(super) fn entries(self, name: &str) -> &'a [(String, Range<usize>, Node)] {
        match self.get(name).map(|node| &node.value) {
            Some(Value::Table(entries)) => entries,
            _ => &[],
        }
    }

    pub(super) fn section(self, name: &str) -> Self {
        Self { node: self.get(name) }
    }

    pub(super) fn sections(self, name: &str) -> Vec<Self> {
        match self.get(name).map(|node| &node.value) {
            Some(Value::List(list)) => list.iter().map(Self::of).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn text(self, name: &str) -> Option<(&'a str, Range<usize>)> {
        let node = self.get(name)?;
        if let Value::Text(text) = &node.value { Some((text, node.at.clone())) } else { None }
    }

    pub(super) fn texts(self, name: &str) -> Vec<(&'a str, Range<usize>)> {
        match self.get(name).map(|node| (&node.value, node)) {
            Some((Value::List(list), _)) => list
                .iter()
                .filter_map(|node| if let Value::Text(text) = &node.value { Some((text.as_str(), node.at.clone())) } else { None })
                .collect(),
            _ => self.text(name).into_iter().collect(),
        }
    }

    pub(super) fn number(self, name: &str) -> Option<u64> {
        if let Value::Number(number) = self.get(name)?.value { Some(number) } else { None }
    }

    pub(super) fn switch(self, name: &str) -> bool {
        matches!(self.get(name).map(|node| &node.value), Some(Value::Switch(true)))
    }

    /// An amount that was checked.
    pub(super) fn amount(self, name: &str, unit: Unit) -> Option<u64> {
        match &self.get(name)?.value {
            Value::Number(number) => Some(*number),
            Value::Text(text) => Amount::parse(text, unit).ok().map(|amount| amount.0),
            Value::Switch(_) | Value::List(_) | Value::Table(_) | Value::Odd(_) => None,
        }
    }
}

fn table_of(table: &DeTable<'_>) -> Value {
    Value::Table(
        table
            .iter()
            .map(|(name, value)| (name.get_ref().to_string(), name.span(), Node { at: value.span(), value: value_of(value.get_ref()) }))
            .collect(),
    )
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Odd("a number"), Value::Number),
        DeValue::Boolean(on) => Value::Switch(*on),
        DeValue::Array(list) => Value::List(list.iter().map(|item| Node { at: item.span(), value: value_of(item.get_ref()) }).collect()),
        DeValue::Table(table) => table_of(table),
        DeValue::Float(_) => Value::Odd("a number with a fraction"),
        DeValue::Datetime(_) => Value::Odd("a time of the calendar"),
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What was found, in words.
fn said(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Number(number) => number.to_string(),
        Value::Switch(on) => on.to_string(),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Odd(what) => (*what).to_owned(),
    }
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Text => "a text".to_owned(),
        Kind::Texts => "a list of texts".to_owned(),
        Kind::TextOrTexts => "a text, or a list of texts".to_owned(),
        Kind::Switch => "true or false".to_owned(),
        Kind::Number => "a whole number above 0".to_owned(),
        Kind::Time => "a time, as \"30s\"".to_owned(),
        Kind::Size => "a size, as \"10MiB\"".to_owned(),
        Kind::Choice(choices) => format!("one of {}", choices.iter().map(|choice| format!("{choice:?}")).collect::<Vec<_>>().join(", ")),
        Kind::Variables => "a table of texts".to_owned(),
        Kind::Limits(_) | Kind::Table(_) => "a table".to_owned(),
        Kind::Tables(_) => "tables, each begun with [[…]]".to_owned(),
        Kind::SwitchOrText => "true, or the path of a folder".to_owned(),
    }
}
