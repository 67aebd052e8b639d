//! Ids of what we say, and nicks of those who say it.

use intergroup_schemas::ids::{
    DisplayName, EnterpriseId, Epoch, GroupNumber, Incarnation, ListVersion, OriginKey, Seq,
};
use intergroup_schemas::text;
use ring::{digest, hmac};

use crate::ids::{MessageId, Nick};

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

fn letters(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect()
}

/// Makes ids that nobody can guess and that we make again alike after any crash.
#[derive(Debug)]
pub(super) struct IdMaker(hmac::Key);

impl IdMaker {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn make(&self, parts: &[&str]) -> MessageId {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        MessageId::from(letters(&context.sign().as_ref()[..26]).as_str())
    }

    /// The id of a message of another gateway.
    pub(super) fn message(&self, group: GroupNumber, enterprise: &EnterpriseId, key: &OriginKey) -> MessageId {
        self.make(&["message", &group.to_string(), enterprise.as_str(), &key.to_string()])
    }

    /// The id of a notice that stands for an entry of the group's stream.
    pub(super) fn entry(&self, group: GroupNumber, seq: Seq) -> MessageId {
        self.make(&["entry", &group.to_string(), &seq.to_string()])
    }

    /// The id of a line of the gateway's own, by what it is about.
    pub(super) fn line(&self, parts: &[&str]) -> MessageId {
        self.make(&[&["line"], parts].concat())
    }

    /// The id of the notice that announces a list version.
    pub(super) fn announcement(&self, group: GroupNumber, list: ListVersion) -> MessageId {
        self.make(&["list", &group.to_string(), &list.to_string()])
    }
}

/// A name for an epoch that no other process and no other call gives.
pub(super) fn epoch(entropy: &[u8; 32], count: u64) -> Epoch {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(entropy);
    context.update(&count.to_be_bytes());
    letters(&context.finish().as_ref()[..12]).parse().expect("12 letters and digits are an epoch")
}

/// A name for this run of the process, that no other run has.
pub(super) fn run(entropy: &[u8; 32]) -> Incarnation {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(entropy);
    context.update(b"run");
    letters(&context.finish().as_ref()[..12]).parse().expect("12 letters and digits are a name")
}

/// What a person is called in a room of another enterprise, at the given attempt: the first is the best; when it is taken a
/// number follows; when the server cannot take the name at all (emoji), only its plain letters stay. Nothing that deceives the eye
/// gets in, whatever another company's gateway says: the company stands behind each name, so that letters that look like others
/// make nobody somebody else.
pub(super) fn puppet_nick(nick: &DisplayName, user: &str, display: &DisplayName, attempt: Attempt) -> Nick {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_ascii_alphanumeric() || " .-_'@".contains(*c)).collect::<String>().trim().into()
    };
    let tidy = |text: &str| text::neutral(text, text.len());
    let (name, company) = if attempt.plain {
        let name = [plain(nick.as_str()), plain(user)].into_iter().find(|n| !n.is_empty());
        (name.unwrap_or_else(|| "someone".into()), plain(display.as_str()))
    } else {
        let name = tidy(nick.as_str()).or_else(|| tidy(user));
        (name.unwrap_or_else(|| "someone".into()), tidy(display.as_str()).unwrap_or_default())
    };
    let number = if attempt.number > 1 { format!(" {}", attempt.number) } else { String::new() };
    Nick::from(format!("{name} ({company}){number}").as_str())
}

/// Which of a person's possible nicks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Counts from 1.
    pub(super) number: u32,
    /// Only letters that every server takes.
    pub(super) plain: bool,
}

impl Attempt {
    pub(super) const FIRST: Attempt = Attempt { number: 1, plain: false };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_alike_for_the_same_and_differ_for_all_else() {
        let maker = IdMaker::new(&[7; 32]);
        let (acme, globex) = ("acme".parse().unwrap(), "globex".parse().unwrap());
        let key = "k7.34".parse().unwrap();
        let one = maker.message(GroupNumber(1), &acme, &key);
        assert_eq!(one, IdMaker::new(&[7; 32]).message(GroupNumber(1), &acme, &key));
        assert_ne!(one, maker.message(GroupNumber(1), &globex, &key));
        assert_ne!(one, maker.message(GroupNumber(2), &acme, &key));
        assert_ne!(one, IdMaker::new(&[8; 32]).message(GroupNumber(1), &acme, &key));
        assert_ne!(maker.entry(GroupNumber(1), Seq(1)), maker.announcement(GroupNumber(1), ListVersion(1)));
        assert_eq!(one.as_str().len(), 26);
    }

    #[test]
    fn a_nick_says_who_and_whose() {
        let nick = |name: &str, attempt| {
            puppet_nick(&name.parse().unwrap(), "alice", &"Acme".parse().unwrap(), attempt).to_string()
        };
        assert_eq!(nick("Alice", Attempt::FIRST), "Alice (Acme)");
        assert_eq!(nick("Alice", Attempt { number: 2, plain: false }), "Alice (Acme) 2");
        assert_eq!(nick("Al\u{1F600} ice", Attempt { number: 1, plain: true }), "Al ice (Acme)");
        assert_eq!(nick("\u{1F600}", Attempt { number: 1, plain: true }), "alice (Acme)");
    }

    #[test]
    fn a_name_that_deceives_the_eye_is_neutralised_and_has_its_company() {
        let nick = |name: &str| {
            puppet_nick(&name.parse().unwrap(), "mallory", &"Evil".parse().unwrap(), Attempt::FIRST).to_string()
        };
        assert_eq!(nick("Alice (Acme)"), "Alice (Acme) (Evil)");
        assert_eq!(nick("Al\u{200B}ice\u{2060} \u{FEFF} A"), "Alice A (Evil)", "zero width");
        assert_eq!(nick("\u{202E}ecilA\u{2066}"), "ecilA (Evil)", "bidi controls");
        assert_eq!(nick("\u{410}lice"), "\u{410}lice (Evil)", "a letter that looks like another");
        assert_eq!(nick("\u{200B}\u{3164}"), "mallory (Evil)", "nothing that shows");
    }
}
