//! Overrides from the environment: `LONGSHORE_LIMITS__IDLE=90s` is `idle` of `[limits]`. Two underscores part section and
//! field, because fields have single ones.

use toml::{Table, Value};

const PREFIX: &str = "LONGSHORE_";
/// Not fields: the log, the file itself, what drivers read, and what Kubernetes sets for a service called longshore.
const OTHERS: [&str; 5] = ["LOG", "LOG_JSON", "CONFIG", "PORT", "SERVICE"];
const OTHER_PREFIXES: [&str; 3] = ["DRIVER_", "PORT_", "SERVICE_"];

/// One override.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Override {
    pub(super) variable: String,
    path: Vec<String>,
    value: Value,
}

/// Those among these variables, in the order of their names.
pub(super) fn overrides(variables: impl Iterator<Item = (String, String)>) -> Vec<Override> {
    let mut found: Vec<_> = variables.filter_map(|(variable, text)| read(variable, &text)).collect();
    found.sort_by(|a, b| a.variable.cmp(&b.variable));
    found
}

fn read(variable: String, text: &str) -> Option<Override> {
    let field = variable.strip_prefix(PREFIX)?;
    if OTHERS.contains(&field) || OTHER_PREFIXES.iter().any(|prefix| field.starts_with(prefix)) {
        return None;
    }
    let path = field.split("__").map(str::to_lowercase).collect();
    Some(Override { variable, path, value: value(text) })
}

/// Truth values, whole numbers, lists, tables and quoted texts are read as TOML; anything else is a text as it stands.
fn value(text: &str) -> Value {
    let is_toml = |value: &Value| !matches!(value, Value::Float(_) | Value::Datetime(_));
    text.parse().ok().filter(is_toml).unwrap_or_else(|| Value::String(text.to_owned()))
}

impl Override {
    /// Puts the value in its place. False: the way there leads through something that is no section.
    pub(super) fn apply(&self, table: &mut Table) -> bool {
        let Some((field, sections)) = self.path.split_last() else { return false };
        let mut place = table;
        for section in sections {
            let next = place.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(next) = next else { return false };
            place = next;
        }
        place.insert(field.clone(), self.value.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_are_overrides() {
        let names = |variables: &[&str]| -> Vec<String> {
            let variables = variables.iter().map(|name| ((*name).to_owned(), "x".to_owned()));
            overrides(variables).into_iter().map(|found| found.variable).collect()
        };
        let ours = ["LONGSHORE_LIMITS__IDLE", "LONGSHORE_LISTEN", "LONGSHORE_STORAGE__MAIN__ENDPOINT"];
        assert_eq!(names(&ours), ours);
        let others = [
            "PATH",
            "LONGSHORE_LOG",
            "LONGSHORE_LOG_JSON",
            "LONGSHORE_CONFIG",
            "LONGSHORE_DRIVER_ENDPOINT",
            "LONGSHORE_SERVICE_HOST",
            "LONGSHORE_PORT",
            "LONGSHORE_PORT_5000_TCP_ADDR",
        ];
        assert!(names(&others).is_empty(), "{:?}", names(&others));
    }

    #[test]
    fn values_are_texts_unless_they_can_only_be_something_else() {
        for (text, read) in [
            ("90s", Value::String("90s".into())),
            ("127.0.0.1:5000", Value::String("127.0.0.1:5000".into())),
            ("0660", Value::String("0660".into())),
            ("1.5", Value::String("1.5".into())),
            ("", Value::String(String::new())),
            ("'12'", Value::String("12".into())),
            ("12", Value::Integer(12)),
            ("true", Value::Boolean(true)),
            ("['a', 'b']", Value::Array(vec!["a".into(), "b".into()])),
            ("1\nlisten = 'x'", Value::String("1\nlisten = 'x'".into())),
        ] {
            assert_eq!(value(text), read, "{text:?}");
        }
    }
}
