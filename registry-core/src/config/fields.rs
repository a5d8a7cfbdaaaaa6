//! Tests of every field there is. The fields are asked of serde, so that a new one is in them by itself.

use std::path::Path;

use super::hint::names;
use super::{Config, ConfigProblem, DEFAULT};

/// One field: the section as it stands in a file, and what must be around it.
#[derive(Debug, Clone)]
struct Field {
    /// `limits`, `storage.NAME`, `auth.rule`; empty at the top.
    section: String,
    /// `[limits]`
    header: String,
    name: String,
}

impl Field {
    /// As docs/operations.md has it.
    fn documented(&self) -> String {
        if self.section.is_empty() { self.name.clone() } else { format!("{}.{}", self.section, self.name) }
    }

    fn file(&self, line: &str) -> String {
        format!("{}\n{line}\n", self.header)
    }
}

fn refused(text: &str) -> String {
    match Config::parse(Path::new("a.toml"), text, &[]) {
        Err(problem @ ConfigProblem::Syntax { .. }) => problem.to_string(),
        other => panic!("{text:?} is not refused: {other:?}"),
    }
}

/// What serde would take in this section.
fn expected(header: &str) -> Vec<String> {
    let Err(error) = toml::from_str::<Config>(&format!("{header}\nno_such_field = 1\n")) else {
        panic!("{header} takes anything")
    };
    names(error.message())
        .map(|(_, names)| names.into_iter().map(str::to_owned).collect())
        .unwrap_or_default()
}

fn every_field() -> Vec<Field> {
    let mut fields = Vec::new();
    let sections = [
        ("", ""),
        ("storage.NAME", "[storage.a]"),
        ("storage.NAME.redirect", "[storage.a.redirect]"),
        ("auth.rule", "[[auth.rule]]"),
    ];
    let mut sections: Vec<(String, String)> =
        sections.map(|(name, header)| (name.to_owned(), header.to_owned())).into();
    for name in expected("") {
        // A field that is no section refuses the table, and not the name in it.
        let header = format!("[{name}]");
        if name != "storage" && !expected(&header).is_empty() {
            sections.push((name, header));
        }
    }
    for (section, header) in &sections {
        for name in expected(header) {
            let is_section = sections.iter().any(|(other, _)| {
                let inner = other.strip_prefix(section.as_str()).unwrap_or("").trim_start_matches('.');
                !inner.is_empty() && inner.split('.').next() == Some(&name)
            });
            if !is_section {
                fields.push(Field { section: section.clone(), header: header.clone(), name });
            }
        }
    }
    assert!(fields.len() > 40, "the way to find fields is broken: {fields:?}");
    fields
}

#[test]
fn a_typo_in_each_field_is_refused_with_its_place_and_the_right_name() {
    for field in every_field() {
        let mut typo = field.name.clone();
        let last = typo.pop().expect("a name");
        typo.push(last);
        typo.push(last);
        typo.push('x');
        let said = refused(&field.file(&format!("{typo} = 1")));
        let line = field.header.lines().count() + usize::from(field.header.is_empty()) + 1;
        assert!(said.contains("in a.toml") && said.contains(&format!("line {line}, column 1")), "{said}");
        assert!(said.contains(&format!("unknown field `{typo}`")), "{said}");
        assert!(said.contains(&format!("did you mean `{}`?", field.name)), "{typo}: {said}");
    }
}

#[test]
fn a_value_of_another_type_is_refused_in_each_field_with_its_place() {
    for field in every_field() {
        // No field is a date.
        let said = refused(&field.file(&format!("{} = 1979-05-27", field.name)));
        let line = field.header.lines().count() + usize::from(field.header.is_empty()) + 1;
        assert!(said.contains("in a.toml") && said.contains(&format!("line {line}")), "{said}");
    }
}

#[test]
fn a_wrong_section_and_a_wrong_value_are_refused_with_the_right_one() {
    for (text, right) in [
        ("[limit]\nidle = '1s'", "limits"),
        ("[[auth.rules]]\nusers = []", "rule"),
        ("[auth]\nhtpasswd = 'a'\nanonymous = 'pul'", "pull"),
        ("[auth]\nhtpasswd = 'a'\n[[auth.rule]]\nusers = []\naccess = 'ful'", "full"),
    ] {
        let said = refused(text);
        assert!(said.contains(&format!("did you mean `{right}`?")) && said.contains("line"), "{said}");
    }
}

#[test]
fn each_field_is_in_the_default_file_and_in_the_documentation() {
    let documented = include_str!("../../../docs/operations.md");
    for field in every_field() {
        let documented_as = format!("`{}`", field.documented());
        let row = documented.lines().any(|line| line.starts_with('|') && line.contains(&documented_as));
        assert!(row, "docs/operations.md has no row for {documented_as}");
        let set = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{} = ", field.name));
        assert!(DEFAULT.lines().any(set), "default.toml lacks {}", field.documented());
    }
}

#[test]
fn the_default_file_is_the_default_also_with_what_is_commented_out() {
    let written = Config::parse(Path::new("default.toml"), DEFAULT, &[]).unwrap();
    assert_eq!(format!("{written:?}"), format!("{:?}", Config::default()));
    let is_setting = |line: &str| {
        let Some(line) = line.strip_prefix("# ") else { return false };
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '))
    };
    let all: Vec<&str> =
        DEFAULT.lines().map(|line| if is_setting(line) { &line[2..] } else { line }).collect();
    Config::parse(Path::new("default.toml"), &all.join("\n"), &[]).unwrap();
}

mod environment {
    use super::super::environment::overrides;
    use super::*;

    fn with(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let overrides = overrides(variables);
        Config::parse(Path::new("a.toml"), text, &overrides).map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
        let text = "listen = '127.0.0.1:1'\n[limits]\nidle = '7s'\ndrain = '8s'";
        let config = with(
            text,
            &[
                ("LONGSHORE_LIMITS__IDLE", "90s"),
                ("LONGSHORE_LIMITS__CONNECTIONS", "77"),
                ("LONGSHORE_LISTEN", "127.0.0.1:2,unix:///a/b"),
                ("LONGSHORE_LISTEN_SOCKET_MODE", "0600"),
                ("LONGSHORE_STORAGE__FAST__ENDPOINT", "unix:///run/fast.sock"),
                ("LONGSHORE_STORAGE__FAST__PREFIXES", "['team', 'other']"),
                ("LONGSHORE_TLS__CERTIFICATE", "/a.pem"),
                ("LONGSHORE_TLS__KEY", "/a.key"),
            ],
        )
        .unwrap();
        let Limits { idle, drain, connections, body_rate, .. } = config.limits;
        assert_eq!((idle.as_secs(), drain.as_secs(), connections, body_rate), (90, 8, 77, 1024));
        assert_eq!((config.listen.0.len(), config.listen_socket_mode.0), (2, 0o600));
        assert_eq!(config.storage["fast"].prefixes, ["team", "other"]);
        assert!(config.tls.is_some());
    }

    #[test]
    fn what_is_wrong_is_refused_by_the_name_of_the_variable() {
        let well = ("LONGSHORE_LISTEN", "127.0.0.1:2");
        for (variable, value, part) in [
            ("LONGSHORE_LIMITS__IDEL", "90s", "did you mean `idle`?"),
            ("LONGSHORE_LISTN", "127.0.0.1:1", "did you mean `listen`?"),
            ("LONGSHORE_LIMITS__IDLE", "soon", "expected number"),
            ("LONGSHORE_LIMITS__CONNECTIONS", "many", "invalid type"),
            ("LONGSHORE_TLS__KEY", "/a.key", "certificate"),
        ] {
            let said = with("", &[well, (variable, value)]).unwrap_err();
            assert!(said.contains(&format!("in the environment, {variable}: ")), "{said}");
            assert!(said.contains(part), "{said}");
        }
        let said = with("listen = '127.0.0.1:1'", &[("LONGSHORE_LISTEN__X", "1")]).unwrap_err();
        assert!(said.contains("LONGSHORE_LISTEN__X") && said.contains("not a section"), "{said}");
        let said = with("[limits]\nidel = '1s'", &[well]).unwrap_err();
        assert!(said.contains("in a.toml") && said.contains("line 2"), "the file's own mistake: {said}");
    }

    use super::super::limits::Limits;
}
