//! Each row of the table of conditions has a test that makes it happen.

use std::path::Path;

use intergroup_schemas::conditions::Condition;

use crate::tree::read;

const CENTER: &str = "tests/tests/center/conditions.rs";
const LINKS: &str = "tests/tests/center/refused.rs";
const TROUBLE: &str = "tests/tests/center/trouble.rs";
const REFUSALS: &str = "tests/tests/scenarios/refusals.rs";
const MODERATION: &str = "tests/tests/scenarios/moderation.rs";
const LISTS: &str = "tests/tests/center/lists.rs";
const LISTS_OF_THE_HUB: &str = "center/src/hub/tests/lists.rs";
const BRIDGE: &str = "gateway/src/bridge/tests/mod.rs";
const REFUSED: &str = "gateway/src/bridge/tests/refused.rs";

/// Which test shows a condition, its counter, its notice, and that others' traffic goes on. In real rooms where a server can be
/// brought to it; with real daemons and raw links where only a broken peer would do it; against the core where neither can:
/// a full list is a matter of a hundred thousand people, no server refuses the words of a room's owner (`refused-by-room`), and both servers give occupant-ids
/// (`unknown-author` is for those that do not).
const SHOWN: &[(Condition, &str, &str)] = &[
    (Condition::Malformed, LINKS, "what_is_broken_ends_its_own_link_with_a_reason_and_no_other"),
    (Condition::TooLarge, REFUSALS, "too_large_is_refused"),
    (Condition::BadRequest, CENTER, "whoever_asks_for_what_is_not_his_is_refused"),
    (Condition::UnsupportedVersion, LINKS, "what_is_broken_ends_its_own_link_with_a_reason_and_no_other"),
    (Condition::UnknownGroup, CENTER, "whoever_asks_for_what_is_not_his_is_refused"),
    (Condition::NotAMember, CENTER, "whoever_asks_for_what_is_not_his_is_refused"),
    (Condition::NotOwner, CENTER, "whoever_asks_for_what_is_not_his_is_refused"),
    (Condition::NotAllowed, CENTER, "whoever_asks_for_what_is_not_his_is_refused"),
    (Condition::UnknownListVersion, CENTER, "whoever_asks_for_what_is_not_his_is_refused"),
    (Condition::ForeignAuthor, REFUSALS, "a_foreign_occupant_is_refused"),
    (Condition::UnknownAuthor, REFUSED, "who_cannot_be_known_is_not_guessed"),
    (Condition::Encrypted, REFUSALS, "encrypted_is_refused"),
    (Condition::UnsupportedContent, REFUSALS, "a_reaction_is_refused"),
    (Condition::TooFast, REFUSALS, "too_fast_is_refused"),
    (Condition::NotOnList, LISTS, "a_list_judges_travels_and_survives_kill_9"),
    (Condition::ReadOnly, LISTS, "a_list_judges_travels_and_survives_kill_9"),
    (Condition::NotYours, LISTS, "a_list_judges_travels_and_survives_kill_9"),
    (Condition::InvalidAccount, LISTS, "a_list_judges_travels_and_survives_kill_9"),
    (Condition::ListFull, LISTS_OF_THE_HUB, "a_list_holds_so_many_and_no_more"),
    (Condition::RefusedByRoom, BRIDGE, "what_a_room_never_takes_is_given_up_and_told"),
    (Condition::RefusedByRoom, REFUSED, "what_another_room_refused_is_told_to_its_author"),
    (Condition::Banned, MODERATION, "a_ban_is_told"),
    (Condition::Kicked, MODERATION, "a_kick_is_told"),
    (Condition::Poisonous, REFUSALS, "what_a_server_never_takes_is_set_aside"),
    (Condition::Expired, CENTER, "what_was_not_kept_is_told_on_both_sides"),
    (Condition::Expired, REFUSED, "what_expired_elsewhere_is_told_to_its_author"),
    (Condition::Suspended, LINKS, "a_suspended_enterprise_is_out_at_once_and_the_others_go_on"),
    (Condition::Removed, LINKS, "a_suspended_enterprise_is_out_at_once_and_the_others_go_on"),
    (Condition::BadCertificate, LINKS, "an_ended_certificate_is_told_so_and_a_strange_one_gets_nowhere"),
    (Condition::BadCode, LINKS, "a_code_works_once_and_enrolling_again_puts_the_old_certificate_out"),
    (Condition::BadCode, CENTER, "an_expired_code_is_refused_and_a_new_one_works"),
    (Condition::Replaced, CENTER, "a_second_link_takes_the_place_of_the_first"),
    (Condition::OverLimit, CENTER, "who_sends_far_more_than_the_window_is_put_out_alone"),
    (Condition::StoreUnavailable, TROUBLE, "a_full_disk_acknowledges_nothing_and_loses_nothing"),
    (Condition::ShuttingDown, TROUBLE, "an_orderly_end_says_bye_and_keeps_everything"),
];

/// The text of a function that is a test, or a check that a test names.
fn test_of(text: &str, name: &str) -> Option<String> {
    let begin = text.find(&format!("fn {name}("))?;
    let line = text[..begin].rfind('\n').map_or(0, |at| at + 1);
    let before = text[..line].trim_end();
    let is_test = before.ends_with("#[test]") || before.ends_with("#[tokio::test]");
    let is_check = text.contains(&format!("check!({name})"));
    let indent = &text[line..begin][..text[line..begin].len() - text[line..begin].trim_start().len()];
    let end = text[begin..].find(&format!("\n{indent}}}")).map_or(text.len(), |at| begin + at);
    (is_test || is_check).then(|| text[begin..end].to_owned())
}

#[test]
fn every_condition_is_made_to_happen() {
    for condition in Condition::ALL {
        let rows: Vec<_> = SHOWN.iter().filter(|(of, ..)| of == condition).collect();
        assert!(!rows.is_empty(), "no test shows {}", condition.as_str());
        for (_, path, name) in rows {
            let test = test_of(&read(Path::new(path)), name);
            let test =
                test.unwrap_or_else(|| panic!("{path} has no test {name}, which is to show {}", condition.as_str()));
            let named = [format!("Condition::{condition:?}"), format!("{condition:?}"), condition.as_str().to_owned()];
            assert!(named.iter().any(|n| test.contains(n)), "{name} in {path} does not name {}", condition.as_str());
        }
    }
}

#[test]
fn a_function_that_is_no_test_shows_nothing() {
    let text = "fn helper() {\n}\n\n#[test]\nfn real() {\n    Condition::Banned\n}\n\nfn after() {\n}\n";
    assert!(test_of(text, "helper").is_none() && test_of(text, "missing").is_none());
    assert_eq!(test_of(text, "real").as_deref(), Some("fn real() {\n    Condition::Banned"));
}
