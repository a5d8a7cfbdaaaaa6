//! Which access a user has to a repository.

use crate::config::auth::{Access, Rule};
use crate::oci::RepositoryName;

#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn new(mut rules: Vec<Rule>) -> Self {
        for rule in &mut rules {
            for prefix in &mut rule.prefixes {
                *prefix = prefix.trim_end_matches('/').to_owned();
            }
        }
        Self(rules)
    }

    pub(super) fn access(&self, user: &str, repository: &RepositoryName) -> Access {
        if self.0.is_empty() {
            return Access::Full;
        }
        let of_user = self.0.iter().filter(|rule| rule.users.iter().any(|name| name == "*" || name == user));
        let fitting = of_user.filter_map(|rule| Some((longest(rule, repository)?, rule.access)));
        fitting.max().map_or(Access::None, |(_, access)| access)
    }

    /// Whether no repository can be there that this user may not read.
    pub(super) fn reads_all(&self, user: &str) -> bool {
        let of_user = self.0.iter().filter(|rule| rule.users.iter().any(|name| name == "*" || name == user));
        let everywhere =
            |rule: &&Rule| rule.prefixes.is_empty() || rule.prefixes.iter().any(String::is_empty);
        self.0.is_empty()
            || (of_user.clone().filter(everywhere).any(|rule| rule.access >= Access::Read)
                && of_user.into_iter().all(|rule| rule.access >= Access::Read))
    }
}

/// The length of the longest prefix of the rule that fits; none at all fits everything.
fn longest(rule: &Rule, repository: &RepositoryName) -> Option<usize> {
    if rule.prefixes.is_empty() {
        return Some(0);
    }
    let fits = |prefix: &&String| {
        let rest = repository.as_str().strip_prefix(prefix.as_str());
        prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    rule.prefixes.iter().filter(fits).map(String::len).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(user: &str, prefixes: &[&str], access: Access) -> Rule {
        let prefixes = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        Rule { users: vec![user.to_owned()], prefixes, access }
    }

    #[test]
    fn the_longest_prefix_of_whole_parts_counts_and_then_the_most_generous() {
        let rules = Rules::new(vec![
            rule("*", &[], Access::Read),
            rule("ci", &["team/", "other"], Access::Full),
            rule("ci", &["team/secret"], Access::None),
            rule("ann", &["team/secret"], Access::Full),
            rule("*", &["team/secret"], Access::None),
        ]);
        for (user, repository, access) in [
            ("ci", "team/app", Access::Full),
            ("ci", "team", Access::Full),
            ("ci", "teams", Access::Read),
            ("ci", "team/secret", Access::None),
            ("ci", "team/secret/x", Access::None),
            ("ci", "team/secrets", Access::Full),
            ("ann", "team/secret", Access::Full),
            ("ann", "team/app", Access::Read),
            ("eve", "team/secret", Access::None),
        ] {
            assert_eq!(rules.access(user, &repository.parse().unwrap()), access, "{user} {repository}");
        }
        for (user, all) in [("ci", false), ("ann", false), ("eve", false)] {
            assert_eq!(rules.reads_all(user), all, "a rule takes team/secret away from {user}");
        }
        let rules = Rules::new(vec![rule("ann", &[], Access::Read), rule("bob", &["team"], Access::Full)]);
        assert!(rules.reads_all("ann") && !rules.reads_all("bob") && Rules::new(vec![]).reads_all("eve"));
        assert_eq!(Rules::new(vec![]).access("ann", &"x".parse().unwrap()), Access::Full);
        assert_eq!(
            Rules::new(vec![rule("ann", &[], Access::Full)]).access("bob", &"x".parse().unwrap()),
            Access::None
        );
    }
}
