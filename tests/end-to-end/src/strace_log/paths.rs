//! The files that the arguments of a system call name, as strace -y shows them.

/// The arguments, split at the commas that are not inside quotes, braces or brackets.
pub(super) fn split(arguments: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut quoted, mut escaped, mut begin) = (Vec::new(), 0_i32, false, false, 0);
    for (position, character) in arguments.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' | '<' if !quoted => depth += 1,
            '}' | ']' | '>' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(arguments[begin..position].trim());
                begin = position + 1;
            }
            _ => {}
        }
    }
    parts.push(arguments[begin..].trim());
    parts
}

/// `12</store/file>` and `AT_FDCWD</home>`: what lies between the angle brackets.
pub(super) fn of_descriptor(argument: &str) -> Option<String> {
    let (_, rest) = argument.split_once('<')?;
    let (path, _) = rest.rsplit_once('>')?;
    Some(path.trim_end_matches(" (deleted)").to_owned())
}

/// `12` of `12</store/file>`.
pub(super) fn number_of_descriptor(argument: &str) -> Option<i32> {
    argument.split('<').next()?.trim().parse().ok()
}

/// A path given as a string, relative to a directory's descriptor.
pub(super) fn below(directory: &str, quoted: &str) -> Option<String> {
    let path = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if path.starts_with('/') {
        return Some(path.to_owned());
    }
    let directory = of_descriptor(directory)?;
    Some(match path {
        "" | "." => directory,
        _ => format!("{}/{path}", directory.trim_end_matches('/')),
    })
}

pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
