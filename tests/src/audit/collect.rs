//! From an archive's stanzas to the lines that are compared.

use super::verdict::{Entry, Sent};
use crate::load::Stanza;

/// What a message's text looks like, behind whatever a gateway puts before it when a puppet cannot speak: the author
/// and the number, then anything.
///
/// `acme/alice 17 …` → author `acme/alice`, n 17.
pub fn unprefixed(body: &str) -> Option<Sent> {
    let words: Vec<&str> = body.split_whitespace().collect();
    let at = words.iter().position(|word| word.contains('/') && !word.starts_with('/'))?;
    let n = words.get(at + 1)?.parse().ok()?;
    Some(Sent { author: words[at].to_owned(), n })
}

/// The archive of a company's room as the auditor wants it. Lines that are no test message (a gateway's notices) are
/// left out.
pub fn archived(company: &str, archive: &[Stanza]) -> Vec<Entry> {
    let lines = archive.iter().filter_map(|stanza| unprefixed(&stanza.text("body")?));
    lines.map(|sent| Entry { foreign: sent.author.split('/').next() != Some(company), sent }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_and_without_a_prefix() {
        let sent = Sent { author: "acme/alice".into(), n: 17 };
        assert_eq!(unprefixed("acme/alice 17 hello"), Some(sent.clone()));
        assert_eq!(unprefixed("Alice (Acme): acme/alice 17"), Some(sent));
        assert_eq!(unprefixed("This room is now shared with Globex"), None);
        assert_eq!(unprefixed("either/or is a choice"), None);
    }
}
