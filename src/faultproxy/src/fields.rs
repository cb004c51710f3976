//! Reads a JSON object field by field, so that one reading finds everything that is wrong with it.
//!
//! A derived `Deserialize` stops at the first problem; an author of scripts wants them all.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// An object that is being read.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    left: Map<String, Value>,
    /// What the problems begin with, as `rule 2`.
    place: String,
    problems: &'a mut Vec<String>,
}

impl<'a> Fields<'a> {
    /// Begins; anything but an object is a problem, and reads as an empty one.
    pub(crate) fn of(value: Value, place: impl Into<String>, problems: &'a mut Vec<String>) -> Self {
        let place = place.into();
        let left = match value {
            Value::Object(fields) => fields,
            other => {
                problems.push(format!("{place}: an object is expected, not {other}"));
                Map::new()
            }
        };
        Self { left, place, problems }
    }

    /// A field; none where it is absent or cannot be read.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.left.remove(name)?;
        match serde_json::from_value(value) {
            Ok(read) => Some(read),
            Err(error) => {
                self.problem(format!("`{name}`: {error}"));
                None
            }
        }
    }

    /// A field that must be there.
    pub(crate) fn demand<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        if !self.left.contains_key(name) {
            self.problem(format!("`{name}` is missing"));
        }
        self.take(name)
    }

    /// Notes a problem with the object.
    pub(crate) fn problem(&mut self, text: impl std::fmt::Display) {
        self.problems.push(format!("{}: {text}", self.place));
    }

    /// Notes a problem unless `holds`.
    pub(crate) fn check(&mut self, holds: Option<bool>, text: impl std::fmt::Display) {
        if holds == Some(false) {
            self.problem(text);
        }
    }

    /// Ends: a field that was not taken is unknown.
    pub(crate) fn finish(mut self) {
        for name in std::mem::take(&mut self.left).keys() {
            self.problem(format!("unknown field `{name}`"));
        }
    }
}
