//! People who are spoken of by their nick: marked where the room knows the nick, and named by the nick they have elsewhere.

use std::sync::Arc;

use bytes::Bytes;

use super::{Element, LANG, LINK, Node, elements, to_payload};
use crate::ids::{Account, Nick};

/// Most mentions marked in one message; the rest stay text.
const MENTIONS: usize = 64;

/// The body that mentions count in: the one without language, or else the first.
fn main_body(elements: &[Element]) -> Option<usize> {
    let body = |element: &Element| element.is("body", LINK);
    let plain = elements.iter().position(|element| body(element) && element.attribute(LANG).is_none());
    plain.or_else(|| elements.iter().position(body))
}

/// Adds a `<mention>` for each place where the body names one of `names`: whole words only, the longest nick first. A payload
/// that cannot be read comes back as it is.
pub fn mark_mentions(payload: &Bytes, names: &[(Nick, Account)]) -> Bytes {
    // Most messages name nobody; a nick with markup in it is escaped in the payload, and looked for in any case.
    let escaped = |nick: &str| nick.contains(['&', '<', '>', '"', '\'']) || nick.chars().any(char::is_control);
    let maybe =
        |nick: &str| !nick.is_empty() && (escaped(nick) || memchr::memmem::find(payload, nick.as_bytes()).is_some());
    let mut names: Vec<_> = names.iter().filter(|(nick, _)| maybe(nick.as_str())).collect();
    if names.is_empty() {
        return payload.clone();
    }
    names.sort_by(|(a, _), (b, _)| b.as_str().len().cmp(&a.as_str().len()).then_with(|| a.cmp(b)));
    let Ok(mut elements) = elements(payload) else { return payload.clone() };
    let Some(body) = main_body(&elements) else { return payload.clone() };
    let text = elements[body].text();
    let mut places = Vec::new();
    let (mut at, mut point) = (0, 0);
    while at < text.len() && places.len() < MENTIONS {
        let named = |nick: &str| text[at..].starts_with(nick) && is_word(&text, at, at + nick.len());
        match names.iter().find(|(nick, _)| named(nick.as_str())) {
            Some((nick, account)) => {
                let end = point + nick.as_str().chars().count();
                places.push((point, end, account));
                (at, point) = (at + nick.as_str().len(), end);
            }
            None => (at, point) = (at + text[at..].chars().next().map_or(1, char::len_utf8), point + 1),
        }
    }
    if places.is_empty() {
        return payload.clone();
    }
    for (begin, end, account) in places {
        let mut mention = Element::new("mention", LINK);
        mention.attributes = vec![
            ("begin".to_owned(), begin.to_string()),
            ("end".to_owned(), end.to_string()),
            ("account".to_owned(), account.to_string()),
        ];
        elements.push(mention);
    }
    Bytes::from(to_payload(&elements))
}

/// Whether no word runs over either end.
fn is_word(text: &str, begin: usize, end: usize) -> bool {
    let joined =
        |a: Option<char>, b: Option<char>| a.is_some_and(char::is_alphanumeric) && b.is_some_and(char::is_alphanumeric);
    !joined(text[..begin].chars().next_back(), text[begin..].chars().next())
        && !joined(text[..end].chars().next_back(), text[end..].chars().next())
}

/// Puts the nick that a person has in this room where the body mentions the person, and takes the `<mention>`s out. Whom
/// `name_of` does not know keeps the text as it was. A payload that cannot be read comes back as it is.
pub fn resolve_mentions(payload: &Bytes, name_of: &mut dyn FnMut(&Account) -> Option<Nick>) -> Bytes {
    if memchr::memmem::find(payload, b"mention").is_none() {
        return payload.clone();
    }
    let Ok(mut elements) = elements(payload) else { return payload.clone() };
    let is_mention = |element: &Element| element.is("mention", LINK);
    if !elements.iter().any(is_mention) {
        return payload.clone();
    }
    let mut places: Vec<_> = elements.iter().filter(|e| is_mention(e)).filter_map(place).collect();
    elements.retain(|element| !is_mention(element));
    places.sort_by_key(|(begin, ..)| *begin);
    if let Some(body) = main_body(&elements) {
        let text: Vec<char> = elements[body].text().chars().collect();
        let mut out = String::new();
        let mut at = 0;
        for (begin, end, account) in places {
            if begin < at || end > text.len() {
                continue;
            }
            if let Some(nick) = name_of(&account) {
                out.extend(&text[at..begin]);
                out.push_str(nick.as_str());
                at = end;
            }
        }
        out.extend(&text[at..]);
        elements[body].nodes = vec![Node::Text(out)];
        elements[body].namespace = Arc::from(LINK);
    }
    Bytes::from(to_payload(&elements))
}

fn place(mention: &Element) -> Option<(usize, usize, Account)> {
    let number = |name| mention.attribute(name)?.parse::<usize>().ok();
    let (begin, end) = (number("begin")?, number("end")?);
    let (enterprise, user) = mention.attribute("account")?.split_once('/')?;
    let account = Account { enterprise: enterprise.parse().ok()?, user: user.parse().ok()? };
    (begin < end).then_some((begin, end, account))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &str) -> Account {
        let (enterprise, user) = text.split_once('/').unwrap();
        Account { enterprise: enterprise.parse().unwrap(), user: user.parse().unwrap() }
    }

    fn names() -> Vec<(Nick, Account)> {
        [("Alice", "x/short"), ("Alice (Acme)", "acme/alice"), ("Bób & Co", "acme/bob"), ("a", "acme/a")]
            .map(|(nick, who)| (Nick::from(nick), account(who)))
            .to_vec()
    }

    fn marked(payload: &str) -> String {
        String::from_utf8(mark_mentions(&Bytes::from(payload.to_owned()), &names()).to_vec()).unwrap()
    }

    fn resolved(payload: &str) -> String {
        let mut name_of = |who: &Account| (who.user.as_str() == "alice").then(|| Nick::from("Äl"));
        String::from_utf8(resolve_mentions(&Bytes::from(payload.to_owned()), &mut name_of).to_vec()).unwrap()
    }

    #[test]
    fn the_longest_nick_is_marked_in_code_points() {
        let body = "<body>äö Alice (Acme): hi</body>";
        assert_eq!(marked(body), format!("{body}<mention begin='3' end='15' account='acme/alice'/>"));
        let body = "<body>@Alice</body>";
        assert_eq!(marked(body), format!("{body}<mention begin='1' end='6' account='x/short'/>"));
    }

    #[test]
    fn words_are_whole_and_escapes_do_not_hide_a_nick() {
        for body in ["<body>Malice</body>", "<body>Alices</body>", "<body>cat</body>", "<thread>Alice</thread>"] {
            assert_eq!(marked(body), body);
        }
        let body = "<body>Bób &amp; Co!</body>";
        assert_eq!(marked(body), format!("{body}<mention begin='0' end='8' account='acme/bob'/>"));
    }

    #[test]
    fn mentions_become_the_nick_here() {
        let mark = |b, e, who| format!("<mention begin='{b}' end='{e}' account='{who}'/>");
        let body = "<body xml:lang='de'>no</body><body>ä Alice (Acme), hi</body>";
        let expected = "<body xml:lang='de'>no</body><body>ä Äl, hi</body>";
        assert_eq!(resolved(&format!("{body}{}", mark(2, 14, "acme/alice"))), expected);
        // Unknown, overlapping, beyond the end, backwards, not a number: the text stays.
        assert_eq!(resolved(&format!("{body}{}", mark(2, 14, "acme/bob"))), body);
        let twice = format!("{body}{}{}", mark(2, 14, "acme/alice"), mark(3, 5, "acme/alice"));
        assert_eq!(resolved(&twice), expected);
        for broken in [mark(2, 999, "acme/alice"), mark(5, 5, "acme/alice"), mark(9, 5, "acme/alice")] {
            assert_eq!(resolved(&format!("{body}{broken}")), body);
        }
        assert_eq!(resolved(&format!("{body}<mention begin='-1' end='x'/>")), body);
    }

    #[test]
    fn what_is_marked_here_is_named_there() {
        let there = resolved(&marked("<body>Alice (Acme) and Alice (Acme)</body>"));
        assert_eq!(there, "<body>Äl and Äl</body>");
    }
}
