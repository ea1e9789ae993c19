//! Finds parts of tokens' values in texts. What is kept are hashes of short pieces: what is not held can't be printed.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use data_encoding::BASE64;

use super::tokens::Serial;

/// How many characters in a row a piece has.
const PIECE: usize = 12;
/// From one piece of a value to the next. A part of `PIECE + STEP - 1` characters is always found.
const STEP: usize = 4;

/// Pieces of all values.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    hasher: RandomState,
    pieces: HashMap<u64, Serial>,
}

impl Traces {
    pub fn add(&mut self, value: &str, serial: Serial) {
        // The word between the halves is the same in every token.
        for half in value.split(".atlasv1.") {
            self.add_pieces(half, serial);
        }
        // As a Secret holds it; and as part of something longer, where it may begin at any of three places.
        for start in 0..3.min(value.len()) {
            let whole = &value.as_bytes()[start..];
            let groups = &whole[..whole.len() / 3 * 3];
            self.add_pieces(&BASE64.encode(groups), serial);
        }
    }

    fn add_pieces(&mut self, text: &str, serial: Serial) {
        for piece in text.as_bytes().windows(PIECE).step_by(STEP) {
            let hash = self.hasher.hash_one(piece);
            self.pieces.insert(hash, serial);
        }
    }

    /// Tokens of which a part stands in the text, plain or in base64.
    pub fn find(&self, text: &str) -> BTreeSet<Serial> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '+' && c != '/');
        let pieces = words.flat_map(|word| word.as_bytes().windows(PIECE));
        pieces.filter_map(|piece| self.pieces.get(&self.hasher.hash_one(piece)).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::random_value;
    use super::*;

    #[test]
    fn a_part_of_a_value_is_found_plain_and_in_base64_wherever_it_begins() {
        let mut traces = Traces::default();
        let (one, two) = (random_value(), random_value());
        traces.add(one.expose(), 1);
        traces.add(two.expose(), 2);
        let value = two.expose();
        let found = BTreeSet::from([2]);
        for text in [value, &value[..14], &value[30..45]] {
            assert_eq!(traces.find(&format!("a line that says {text:?}")), found);
        }
        for before in ["", "a", "ab"] {
            let inside = BASE64.encode(format!("{before}{value} and more").as_bytes());
            assert_eq!(traces.find(&format!("{{\"data\":\"{inside}\"}}")), found, "after {before:?}");
        }
        assert_eq!(traces.find(&format!("{}...", &value[..5])), BTreeSet::new());
        assert_eq!(traces.find(random_value().expose()), BTreeSet::new());
    }
}
