//! The rows. See [`Rule`] for what they mean.

use super::{Row, Rule, Translation};
use crate::conditions::Condition;

const CROSS: Rule = Rule::Cross;
const STRIP: Rule = Rule::Strip;
const OMIT: Rule = Rule::Omit;
const ENCRYPTED: Rule = Rule::Refuse(Condition::Encrypted);
const UNSUPPORTED: Rule = Rule::Refuse(Condition::UnsupportedContent);

const fn row(
    element: &'static str,
    namespace: &'static str,
    source: &'static str,
    rule: Rule,
    reason: &'static str,
) -> Row {
    Row { element, namespace, source, rule, reason }
}

/// All kinds of content that have a rule of their own, by what they are for.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    // What is said.
    row("body", "jabber:client", "RFC 6121", CROSS, "what was said; every language of it"),
    row("thread", "jabber:client", "RFC 6121", CROSS, "an opaque name, the same in every room"),
    row("subject", "jabber:client", "XEP-0045", STRIP, "the room's subject is this room's own"),
    row("error", "jabber:client", "RFC 6120", STRIP, "an answer to somebody in this room"),
    row("spoiler", "urn:xmpp:spoiler:0", "XEP-0382", CROSS, "without it, text that was to be hidden would be open"),
    row("unstyled", "urn:xmpp:styling:0", "XEP-0393", CROSS, "says that * and _ in the text are only characters"),
    row("x", "jabber:x:oob", "XEP-0066", CROSS, "a link that clients show as a picture; the same link stands in the body"),
    row("reference", "urn:xmpp:reference:0", "XEP-0372", OMIT, "names a person by an address that only this room knows; the nick in the text says the same"),
    row("html", "http://jabber.org/protocol/xhtml-im", "XEP-0071", OMIT, "obsolete and a well-known way to attack clients; the body says the same"),
    row("markup", "urn:xmpp:markup:0", "XEP-0394", OMIT, "counts characters of a body that may get a prefix on its way"),
    row("nick", "http://jabber.org/protocol/nick", "XEP-0172", STRIP, "the envelope names the author"),

    // What refers to other messages: their ids differ from room to room.
    row("replace", "urn:xmpp:message-correct:0", "XEP-0308", Rule::Translate(Translation::Edit), "an edit is shown as one, never as a second copy"),
    row("reply", "urn:xmpp:reply:0", "XEP-0461", STRIP, "names an id of this room; the quotation in the body stays"),
    row("fallback", "urn:xmpp:fallback:0", "XEP-0428", STRIP, "would hide the quotation that stands for the reply"),
    row("feature-fallback", "urn:xmpp:feature-fallback:0", "XEP-0428", STRIP, "would hide the quotation that stands for the reply"),
    row("reactions", "urn:xmpp:reactions:0", "XEP-0444", UNSUPPORTED, "names an id of this room"),
    row("retract", "urn:xmpp:message-retract:0", "XEP-0424", UNSUPPORTED, "names an id of this room; its author must know that it was not carried out elsewhere"),
    row("retract", "urn:xmpp:message-retract:1", "XEP-0424", UNSUPPORTED, "names an id of this room; its author must know that it was not carried out elsewhere"),
    row("retracted", "urn:xmpp:message-retract:0", "XEP-0424", STRIP, "what is left in an archive of a message that was retracted"),
    row("retracted", "urn:xmpp:message-retract:1", "XEP-0424", STRIP, "what is left in an archive of a message that was retracted"),
    row("*", "urn:xmpp:message-moderate:0", "XEP-0425", STRIP, "an act of this room's moderators, told by the room itself"),
    row("*", "urn:xmpp:message-moderate:1", "XEP-0425", STRIP, "an act of this room's moderators, told by the room itself"),
    row("apply-to", "urn:xmpp:fasten:0", "XEP-0422", UNSUPPORTED, "names an id of this room"),
    row("attach-to", "urn:xmpp:message-attaching:1", "XEP-0367", STRIP, "names an id of this room"),

    // Files. The body has the link as text; files themselves cross by the relay.
    row("file-sharing", "urn:xmpp:sfs:0", "XEP-0447", OMIT, "its sources are for this company; the link in the body stays"),
    row("sources", "urn:xmpp:sfs:0", "XEP-0447", OMIT, "names an id of this room"),
    row("media-sharing", "urn:xmpp:sims:1", "XEP-0385", OMIT, "its sources are for this company; the link in the body stays"),
    row("data", "urn:xmpp:bob", "XEP-0231", OMIT, "bytes for what was omitted"),
    row("sticker", "urn:xmpp:stickers:0", "XEP-0449", OMIT, "its pack is published by an account of this company"),
    row("Description", "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "XEP-0511", STRIP, "a preview of a link, which other clients make for themselves"),

    // Content encrypted for the people in the room, who alone have the keys.
    row("encrypted", "eu.siacs.conversations.axolotl", "XEP-0384", ENCRYPTED, "OMEMO: nobody in another room could read it"),
    row("encrypted", "urn:xmpp:omemo:1", "XEP-0384", ENCRYPTED, "OMEMO: nobody in another room could read it"),
    row("encrypted", "urn:xmpp:omemo:2", "XEP-0384", ENCRYPTED, "OMEMO: nobody in another room could read it"),
    row("x", "jabber:x:encrypted", "XEP-0027", ENCRYPTED, "OpenPGP: nobody in another room could read it"),
    row("openpgp", "urn:xmpp:openpgp:0", "XEP-0373", ENCRYPTED, "OpenPGP: nobody in another room could read it"),
    row("encryption", "urn:xmpp:eme:0", "XEP-0380", ENCRYPTED, "says that the message is encrypted, by whatever means"),
    row("x", "jabber:x:signed", "XEP-0027", STRIP, "signs a stanza that is not the one that arrives"),

    // Promises that another company's clients would not keep.
    row("securitylabel", "urn:xmpp:sec-label:0", "XEP-0258", UNSUPPORTED, "a label must not get lost, and other companies have other labels"),
    row("ephemeral", "urn:xmpp:ephemeral:0", "XEP-0466", UNSUPPORTED, "what was to vanish would be kept elsewhere"),

    // What accompanies talk and is never stored.
    row("*", "urn:xmpp:rtt:0", "XEP-0301", STRIP, "typing letter by letter; the message itself follows"),
    row("*", "http://jabber.org/protocol/chatstates", "XEP-0085", STRIP, "typing is told apart from messages"),
    row("*", "urn:xmpp:receipts", "XEP-0184", STRIP, "the room is who receives"),
    row("*", "urn:xmpp:chat-markers:0", "XEP-0333", STRIP, "names an id of this room"),
    row("attention", "urn:xmpp:attention:0", "XEP-0224", OMIT, "another company's people are not to be shaken"),

    // What servers and clients note on a message.
    row("origin-id", "urn:xmpp:sid:0", "XEP-0359", STRIP, "an id of this room; the gateway's map keeps it"),
    row("stanza-id", "urn:xmpp:sid:0", "XEP-0359", STRIP, "an id of this room; the envelope names it"),
    row("occupant-id", "urn:xmpp:occupant-id:0", "XEP-0421", STRIP, "the envelope names the author"),
    row("delay", "urn:xmpp:delay", "XEP-0203", STRIP, "the envelope says when"),
    row("x", "jabber:x:delay", "XEP-0091", STRIP, "the envelope says when"),
    row("*", "urn:xmpp:hints", "XEP-0334", STRIP, "hints to this server"),
    row("archived", "urn:xmpp:mam:tmp", "XEP-0313", STRIP, "an id of this room"),
    row("private", "urn:xmpp:carbons:2", "XEP-0280", STRIP, "a hint to this server"),
    row("headers", "http://jabber.org/protocol/shim", "XEP-0131", STRIP, "hints to this server"),
    row("amp", "http://jabber.org/protocol/amp", "XEP-0079", STRIP, "hints to this server"),
    row("c", "http://jabber.org/protocol/caps", "XEP-0115", STRIP, "tells of the client, not of what was said"),
    row("x", "vcard-temp:x:update", "XEP-0153", STRIP, "tells of the person, not of what was said"),
    row("hats", "urn:xmpp:hats:0", "XEP-0317", STRIP, "a role in this room"),
    row("hats", "xmpp:prosody.im/protocol/hats:1", "XEP-0317", STRIP, "a role in this room"),

    // Rooms and calls.
    row("x", "http://jabber.org/protocol/muc#user", "XEP-0045", STRIP, "the room's own notices and private invitations"),
    row("x", "http://jabber.org/protocol/muc", "XEP-0045", STRIP, "belongs to joining this room"),
    row("x", "jabber:x:conference", "XEP-0249", OMIT, "invites into a room of this server, which others may not be able to enter"),
    row("*", "urn:xmpp:jingle-message:0", "XEP-0353", OMIT, "a call to addresses of this server"),
    row("*", "urn:xmpp:call-invites:0", "XEP-0482", OMIT, "a call to addresses of this server"),
    row("forwarded", "urn:xmpp:forward:0", "XEP-0297", OMIT, "somebody else's words, under addresses that mean nothing elsewhere"),
    row("x", "jabber:x:data", "XEP-0004", OMIT, "a form that nobody elsewhere could send back"),
];
