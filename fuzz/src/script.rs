//! An input read as a script: a few bytes choose what happens, so that a small change of an input is a small change of
//! what happens. [`Writer`] is the same the other way round, for seeds.

/// What follows in this many bytes.
const LONG: u8 = 0xf0;

/// Reads a script. Behind its end there are zeros.
#[derive(Debug, Clone)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// A byte for small numbers, nine for others.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..LONG => small.into(),
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    /// A length, and as many bytes as there are.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.number()).unwrap_or(usize::MAX).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Writes a script.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        match u8::try_from(number) {
            Ok(small) if small < LONG => self.0.push(small),
            _ => {
                self.0.push(LONG);
                self.0.extend_from_slice(&number.to_le_bytes());
            }
        }
        self
    }

    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut written = self.number(bytes.len() as u64);
        written.0.extend_from_slice(bytes);
        written
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}
