//! A page of a container's listing, computed as Swift computes it.

use serde_json::{Value, json};

use crate::servers::decode;

const LARGEST: usize = 10_000;

/// What a listing is asked for.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) json: bool,
    prefix: String,
    /// Empty: none, as for Swift.
    marker: String,
    end_marker: String,
    delimiter: String,
    limit: Option<usize>,
    reverse: bool,
}

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (name, value) in text.split('&').filter_map(|one| one.split_once('=')) {
            let value = decode(&value.replace('+', " "));
            match name {
                "format" => query.json = value == "json",
                "prefix" => query.prefix = value,
                "marker" => query.marker = value,
                "end_marker" => query.end_marker = value,
                "delimiter" => query.delimiter = value,
                "limit" => query.limit = value.parse().ok(),
                "reverse" => query.reverse = matches!(value.as_str(), "true" | "on" | "1" | "yes"),
                _ => {}
            }
        }
        query
    }

    /// Of all that there is, in Swift's order.
    pub(super) fn page(&self, all: &[Value]) -> Vec<Value> {
        let limit = self.limit.unwrap_or(LARGEST).min(LARGEST);
        let mut page: Vec<Value> = Vec::new();
        let mut add = |entry: &Value| {
            let name = entry["name"].as_str().unwrap_or_default();
            if self.has(name) {
                match self.folder(name) {
                    None => page.push(entry.clone()),
                    Some(folder) if page.last().is_some_and(|last| last["subdir"] == folder) => {}
                    // The page before ended with it.
                    Some(folder) if folder == self.marker => {}
                    Some(folder) => page.push(json!({ "subdir": folder })),
                }
            }
            page.len() < limit
        };
        // One after the other until the page is full.
        let _full = if self.reverse { all.iter().rev().all(&mut add) } else { all.iter().all(&mut add) };
        page.truncate(limit);
        page
    }

    fn has(&self, name: &str) -> bool {
        let (low, high) =
            if self.reverse { (&self.end_marker, &self.marker) } else { (&self.marker, &self.end_marker) };
        let above = low.is_empty() || name > low.as_str();
        let below = high.is_empty() || name < high.as_str();
        name.starts_with(&self.prefix) && above && below
    }

    /// The name up to the first delimiter after the prefix.
    fn folder(&self, name: &str) -> Option<String> {
        if self.delimiter.is_empty() {
            return None;
        }
        let at = name[self.prefix.len()..].find(&self.delimiter)?;
        Some(name[..self.prefix.len() + at + self.delimiter.len()].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(query: &str) -> Vec<String> {
        let all: Vec<Value> =
            ["a", "a/1", "a/2", "b/1", "b/2", "c"].map(|name| json!({ "name": name })).into();
        let page = Query::parse(query).page(&all);
        page.iter().map(|one| one["name"].as_str().or(one["subdir"].as_str()).unwrap().to_owned()).collect()
    }

    #[test]
    fn a_page_is_what_swift_would_give() {
        assert_eq!(names("format=json&prefix=a%2F"), ["a/1", "a/2"]);
        assert_eq!(names("marker=a%2F1&limit=2"), ["a/2", "b/1"]);
        assert_eq!(names("delimiter=/"), ["a", "a/", "b/", "c"]);
        assert_eq!(names("delimiter=/&limit=2"), ["a", "a/"]);
        assert_eq!(names("delimiter=/&limit=2&marker=a/"), ["b/", "c"]);
        assert_eq!(names("reverse=true&marker=b/2&end_marker=a"), ["b/1", "a/2", "a/1"]);
        assert_eq!(names("limit=0"), [""; 0]);
    }
}
