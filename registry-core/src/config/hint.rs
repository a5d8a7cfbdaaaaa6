//! "Did you mean": the nearest of the names that would have been right.

/// Less alike than this is no typo.
const ALIKE: f64 = 0.7;

/// To be put behind serde's message about an unknown field or value; empty when nothing is near.
pub(super) fn hint(message: &str) -> String {
    let Some((wrong, expected)) = names(message) else { return String::new() };
    let nearest = expected
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.map(|(_, name)| format!("did you mean `{name}`?\n")).unwrap_or_default()
}

/// The wrong name, and those that are expected, out of "unknown field `a`, expected one of `b`, `c`".
pub(super) fn names(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = &message[message.find("unknown field `").or_else(|| message.find("unknown variant `"))?..];
    let line = rest.lines().next()?;
    let mut quoted = line.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_named_and_a_far_one_is_not() {
        let message = "unknown field `idel`, expected one of `idle`, `drain`, `header_read`\n";
        assert_eq!(hint(message), "did you mean `idle`?\n");
        assert_eq!(hint("unknown variant `ful`, expected `none` or `full`"), "did you mean `full`?\n");
        assert_eq!(hint("unknown field `zzz`, expected `a`"), "");
        assert_eq!(hint("invalid type: integer"), "");
    }
}
