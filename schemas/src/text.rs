//! The one place where text that people chose is made fit to be shown to others.

/// What remains of a text when everything is taken out of it that does not show, or changes how its surroundings show:
/// control characters and line breaks become spaces, bidi controls (UAX #9), zero-width and filler characters go, runs of
/// white space become one space. Cut to `most` bytes at a character; none when nothing remains.
///
/// Letters that look like others stay: whoever shows a name beside names of other companies shows the company with it.
#[must_use]
pub fn neutral(text: &str, most: usize) -> Option<String> {
    let mut clean = String::with_capacity(text.len().min(most));
    for c in text.chars() {
        if does_not_show(c) {
            continue;
        }
        let c = if c.is_control() || c.is_whitespace() || c == '\u{2800}' { ' ' } else { c };
        if c == ' ' && (clean.is_empty() || clean.ends_with(' ')) {
            continue;
        }
        if clean.len() + c.len_utf8() > most {
            break;
        }
        clean.push(c);
    }
    clean.truncate(clean.trim_end().len());
    (!clean.is_empty()).then_some(clean)
}

/// Whether a text is what [`neutral`] would make of it.
#[must_use]
pub fn is_neutral(text: &str) -> bool {
    neutral(text, text.len()).is_some_and(|clean| clean == text)
}

fn does_not_show(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
        // No characters at all, two at the end of each plane and a block of 32.
        || (u32::from(c) & 0xFFFE) == 0xFFFE
        || matches!(c, '\u{FDD0}'..='\u{FDEF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_goes_and_what_breaks_lines_is_a_space() {
        for (text, clean) in [
            ("Alice", Some("Alice")),
            ("  Alice \r\n\t Smith\u{0}", Some("Alice Smith")),
            ("Al\u{200B}ice\u{202E}", Some("Alice")),
            ("\u{2067}Alice\u{2069}\u{FEFF}", Some("Alice")),
            ("Alice\u{2028}Bob\u{A0}X", Some("Alice Bob X")),
            ("\u{200D}\u{3164}\u{2800}\n", None),
            ("", None),
            ("Zo\u{EB} \u{1F980}", Some("Zo\u{EB} \u{1F980}")),
        ] {
            assert_eq!(neutral(text, 100).as_deref(), clean, "{text:?}");
        }
        assert_eq!(neutral("Alice Smith", 6).as_deref(), Some("Alice"));
        assert_eq!(neutral("\u{1F980}\u{1F980}", 5).as_deref(), Some("\u{1F980}"));
        assert!(is_neutral("Alice Smith") && !is_neutral("Alice  Smith") && !is_neutral(" "));
    }
}
