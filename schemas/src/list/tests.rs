//! What must hold of lists, whatever the edits.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn edit(user: &str, display: &str, role: Role) -> AccountEdit {
    let listed = Some(Listed { display: display.parse().unwrap(), role });
    AccountEdit { user: user.parse().unwrap(), listed }
}

fn removal(user: &str) -> AccountEdit {
    AccountEdit { user: user.parse().unwrap(), listed: None }
}

#[test]
fn an_enterprise_is_judged_from_its_first_edit_on() {
    let (acme, globex) = ("acme".parse().unwrap(), "globex".parse().unwrap());
    let alice = "alice".parse().unwrap();
    let mut roster = Roster::default();
    assert_eq!(roster.standing(&acme, &alice), Standing::Unjudged);
    roster.apply(&acme, &[edit("alice", "Alice", Role::Speak), edit("bob", "Bob", Role::ReadOnly)]);
    assert_eq!(roster.standing(&acme, &alice).refusal(), None);
    assert_eq!(roster.standing(&acme, &"bob".parse().unwrap()).refusal(), Some(Condition::ReadOnly));
    assert_eq!(roster.standing(&acme, &"carol".parse().unwrap()).refusal(), Some(Condition::NotOnList));
    assert_eq!(roster.standing(&globex, &alice), Standing::Unjudged, "the id alone is nobody");
    roster.apply(&acme, &[removal("alice")]);
    assert_eq!(roster.standing(&acme, &alice), Standing::Off);
    roster.clear(&acme);
    assert_eq!((roster.len(), roster.digest()), (0, ListDigest::default()));
    assert_eq!(roster.standing(&acme, &alice), Standing::Off, "an empty list is a list");
    roster.apply(&globex, &[]);
    assert_eq!(roster.standing(&globex, &alice), Standing::Off);
}

#[test]
fn what_changes_nothing_is_known_to() {
    let acme = "acme".parse().unwrap();
    let mut roster = Roster::default();
    let alice = edit("alice", "Alice", Role::Speak);
    assert!(roster.changes(&acme, &alice) && !roster.changes(&acme, &removal("alice")));
    roster.apply(&acme, std::slice::from_ref(&alice));
    assert!(!roster.changes(&acme, &alice) && roster.changes(&acme, &removal("alice")));
    assert!(roster.changes(&acme, &edit("alice", "Alice", Role::ReadOnly)));
    assert!(roster.changes(&acme, &edit("alice", "Alice S.", Role::Speak)));
}

#[test]
fn edits_that_cannot_be_taken_are_known_as_a_whole() {
    let alice = || edit("alice", "Alice", Role::Speak);
    assert_eq!(check(&[]), Ok(()));
    assert_eq!(check(&[alice(), removal("bob")]), Ok(()));
    assert_eq!(check(&[alice(), removal("bob"), alice()]), Err(Condition::InvalidAccount));
    assert_eq!(check(&[alice(), removal("alice")]), Err(Condition::InvalidAccount), "not both at once");
    assert_eq!(check(&[edit("al\u{200B}ice", "Alice", Role::Speak)]), Err(Condition::InvalidAccount));
    assert_eq!(check(&[edit("alice", "Ali\u{202E}ce", Role::Speak)]), Err(Condition::InvalidAccount));
    let many: Vec<_> = (0..=limits::ACCOUNTS_PER_EDIT).map(|n| removal(&format!("u{n}"))).collect();
    assert_eq!(check(&many), Err(Condition::InvalidAccount));
    assert_eq!(check(&many[1..]), Ok(()));
    assert_eq!(fits(&many), limits::ACCOUNTS_PER_EDIT);
    let long = |n: usize| format!("{n}{}", "x".repeat(limits::USER_ID_BYTES - 8));
    let heavy: Vec<_> = (0..limits::ACCOUNTS_PER_EDIT).map(|n| removal(&long(n))).collect();
    assert!(fits(&heavy) < heavy.len() && check(&heavy[..fits(&heavy)]).is_ok());
}

fn some_edit() -> impl Strategy<Value = (u8, u8, Option<(u8, bool)>)> {
    (0..3u8, 0..6u8, prop::option::of((0..3u8, any::<bool>())))
}

proptest! {
    /// A roster is what a plain table would be, and its digest depends on nothing but what is on it.
    #[test]
    fn a_roster_agrees_with_a_plain_table(edits in vec(some_edit(), 0..60)) {
        let mut roster = Roster::default();
        let mut table: BTreeMap<(EnterpriseId, UserId), Listed> = BTreeMap::new();
        for (enterprise, user, row) in edits {
            let enterprise: EnterpriseId = format!("e{enterprise}").parse().unwrap();
            let user: UserId = format!("u{user}").parse().unwrap();
            let listed = row.map(|(name, speaks)| Listed {
                display: format!("N{name}").parse().unwrap(),
                role: if speaks { Role::Speak } else { Role::ReadOnly },
            });
            let place = (enterprise.clone(), user.clone());
            let edit = AccountEdit { user, listed: listed.clone() };
            prop_assert_eq!(roster.changes(&enterprise, &edit), table.get(&place) != listed.as_ref());
            roster.apply(&enterprise, &[edit]);
            match listed {
                Some(listed) => drop(table.insert(place, listed)),
                None => drop(table.remove(&place)),
            }
        }
        let mut anew = Roster::default();
        for ((enterprise, user), listed) in table.iter().rev() {
            prop_assert_eq!(roster.standing(enterprise, user), Standing::On(listed.role));
            anew.apply(enterprise, &[AccountEdit { user: user.clone(), listed: Some(listed.clone()) }]);
        }
        prop_assert_eq!(roster.len(), table.len());
        prop_assert_eq!(roster.digest(), anew.digest());
    }
}
