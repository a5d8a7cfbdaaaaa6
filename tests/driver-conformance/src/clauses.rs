//! The clauses of the contract, read from docs/driver-contract.md itself, so that a failure cites what stands there.

/// The contract as it was when the kit was built.
pub const CONTRACT: &str = include_str!("../../../docs/driver-contract.md");

/// One numbered clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// `U4`.
    pub id: String,
    /// In one line.
    pub text: String,
    /// The checks that its line `*Checks: ...*` names.
    pub checks: Vec<String>,
    /// What its line `*Core: ...*` says: the clause binds the core alone.
    pub core: Option<String>,
}

/// All of them, in their order.
pub fn all() -> Vec<Clause> {
    let mut clauses: Vec<Clause> = Vec::new();
    for line in CONTRACT.lines() {
        if let Some((id, text)) = head(line) {
            clauses.push(Clause { id, text, checks: Vec::new(), core: None });
        } else if let (Some(rest), Some(clause)) = (line.strip_prefix("  "), clauses.last_mut()) {
            clause.add(rest);
        }
    }
    clauses
}

/// What a clause says.
pub fn text(id: &str) -> Option<String> {
    all().into_iter().find(|clause| clause.id == id).map(|clause| clause.text)
}

/// `* **U4** Fences. ...`
fn head(line: &str) -> Option<(String, String)> {
    let (id, text) = line.strip_prefix("* **")?.split_once("** ")?;
    let mut letters = id.chars();
    let is_id = letters.next().is_some_and(|letter| letter.is_ascii_uppercase())
        && !letters.as_str().is_empty()
        && letters.all(|digit| digit.is_ascii_digit());
    is_id.then(|| (id.to_owned(), text.to_owned()))
}

impl Clause {
    fn add(&mut self, line: &str) {
        if let Some(checks) = line.strip_prefix("*Checks: ").and_then(|rest| rest.strip_suffix('*')) {
            self.checks.extend(checks.split(", ").map(str::to_owned));
        } else if let Some(core) = line.strip_prefix("*Core: ").and_then(|rest| rest.strip_suffix('*')) {
            self.core = Some(core.to_owned());
        } else {
            self.text.push(' ');
            self.text.push_str(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_read_with_their_whole_text() {
        let clause = text("H2").unwrap();
        assert!(clause.starts_with("`supported` lists versions, best first."), "{clause}");
        assert!(clause.ends_with("counts as VERSION_MISMATCH too."), "{clause}");
        assert_eq!(text("H99"), None);
        assert_eq!(head("* **Note** that"), None);
    }
}
