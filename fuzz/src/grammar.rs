//! The grammars of the specifications once more, written as automata, so that the parsers are held against something
//! that was not written the way they are.

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`, at most 255 bytes.
pub fn is_repository_name(text: &[u8]) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Start,
        Word,
        Dot,
        Underscore,
        Underscores,
        Dashes,
    }
    let mut at = At::Start;
    for byte in text {
        at = match (at, byte) {
            (_, b'a'..=b'z' | b'0'..=b'9') => At::Word,
            (At::Word, b'.') => At::Dot,
            (At::Word, b'_') => At::Underscore,
            (At::Underscore, b'_') => At::Underscores,
            (At::Word | At::Dashes, b'-') => At::Dashes,
            (At::Word, b'/') => At::Start,
            _ => return false,
        };
    }
    at == At::Word && text.len() <= 255
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_tag(text: &[u8]) -> bool {
    let Some((first, rest)) = text.split_first() else { return false };
    let word = |byte: &u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_');
    word(first) && rest.len() < 128 && rest.iter().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// `sha256:[a-f0-9]{64}` or `sha512:[a-f0-9]{128}`.
pub fn is_digest(text: &[u8]) -> bool {
    let hex = |text: &[u8]| text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match text {
        [b's', b'h', b'a', b'2', b'5', b'6', b':', rest @ ..] => rest.len() == 64 && hex(rest),
        [b's', b'h', b'a', b'5', b'1', b'2', b':', rest @ ..] => rest.len() == 128 && hex(rest),
        _ => false,
    }
}

/// Contract clause K1, without K3: components of `[A-Za-z0-9._+=,@~-]`, neither `.` nor `..`.
pub fn is_key(text: &[u8]) -> bool {
    let allowed =
        |byte: &u8| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9') || b"._+=,@~-".contains(byte);
    let component = |part: &[u8]| {
        (1..=255).contains(&part.len()) && part.iter().all(allowed) && !matches!(part, b"." | b"..")
    };
    (1..=1024).contains(&text.len()) && text.split(|byte| *byte == b'/').all(component)
}

/// Contract clause K3.
pub fn is_drivers_own(text: &[u8]) -> bool {
    text == b".driver" || text.starts_with(b".driver/")
}
