//! Seeded wrong histories: each defect must be found, and a right history must pass.

use super::{Entry, Record, Sent, Verdict, audit};

const COMPANIES: [&str; 3] = ["acme", "globex", "initech"];
const ROUNDS: u64 = 40;
const SEEDS: u64 = 50;

/// A small generator of numbers that a seed fixes (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % below as u64) as usize
    }
}

/// A history in which everything went well: own messages at once, foreign ones later, in one order.
fn right(dice: &mut Dice) -> Vec<Record> {
    let mut rooms: Vec<Record> =
        COMPANIES.iter().map(|c| Record { company: (*c).into(), ..Record::default() }).collect();
    let mut order: Vec<(usize, Sent)> = Vec::new();
    for n in 1..=ROUNDS {
        for (at, company) in COMPANIES.iter().enumerate() {
            order.push((at, Sent { author: format!("{company}/alice"), n }));
        }
        // Who is first within a round is left to chance.
        let end = order.len();
        order.swap(end - 1, end - 1 - dice.roll(3));
    }
    let mut behind: Vec<Vec<Sent>> = vec![Vec::new(); 3];
    for (at, sent) in order {
        rooms[at].accepted.push(sent.clone());
        rooms[at].archive.push(Entry { sent: sent.clone(), foreign: false });
        for other in (0..3).filter(|&other| other != at) {
            behind[other].push(sent.clone());
            if dice.roll(3) == 0 {
                let late = behind[other].drain(..);
                rooms[other].archive.extend(late.map(|sent| Entry { sent, foreign: true }));
            }
        }
    }
    for (room, rest) in rooms.iter_mut().zip(behind) {
        room.archive.extend(rest.into_iter().map(|sent| Entry { sent, foreign: true }));
    }
    rooms
}

/// Breaks each of many right histories and returns the verdicts.
fn broken(damage: impl Fn(&mut Vec<Record>, &mut Dice)) -> Vec<Verdict> {
    (0..SEEDS)
        .map(|seed| {
            let mut dice = Dice(seed);
            let mut rooms = right(&mut dice);
            assert!(audit(&rooms).is_good(), "seed {seed}: {}", audit(&rooms));
            damage(&mut rooms, &mut dice);
            let verdict = audit(&rooms);
            assert!(!verdict.is_good(), "seed {seed}: the damage was not found: {verdict}");
            verdict
        })
        .collect()
}

/// The place of some foreign line.
fn foreign(archive: &[Entry], dice: &mut Dice) -> usize {
    loop {
        let at = dice.roll(archive.len());
        if archive[at].foreign {
            return at;
        }
    }
}

#[test]
fn a_copy_withheld_is_found() {
    for verdict in broken(|rooms, dice| {
        let archive = &mut rooms[dice.roll(3)].archive;
        let at = foreign(archive, dice);
        archive.remove(at);
    }) {
        assert_eq!(verdict.lost.len(), 1, "{verdict}");
    }
}

#[test]
fn a_copy_made_twice_is_found() {
    for verdict in broken(|rooms, dice| {
        let archive = &mut rooms[dice.roll(3)].archive;
        let at = foreign(archive, dice);
        let again = archive[at].clone();
        let to = at + dice.roll(archive.len() - at);
        archive.insert(to, again);
    }) {
        assert_eq!(verdict.doubled.len(), 1, "{verdict}");
    }
}

#[test]
fn two_of_one_author_swapped_are_found() {
    for verdict in broken(|rooms, dice| {
        let archive = &mut rooms[dice.roll(3)].archive;
        loop {
            let at = foreign(archive, dice);
            let author = &archive[at].sent.author;
            if let Some(next) = (at + 1..archive.len()).find(|&i| archive[i].sent.author == *author) {
                archive.swap(at, next);
                return;
            }
        }
    }) {
        assert!(!verdict.disordered.is_empty(), "{verdict}");
    }
}

#[test]
fn another_order_of_foreign_messages_is_found() {
    for verdict in broken(|rooms, _| {
        // Acme alone is foreign to both other rooms; a fourth company's lines make a second author that is.
        for room in &mut rooms[1..] {
            let sent = Sent { author: "umbrella/eve".into(), n: 1 };
            let at = if room.company == "globex" { 0 } else { room.archive.len() };
            room.archive.insert(at, Entry { sent, foreign: true });
        }
    }) {
        assert!(!verdict.split.is_empty(), "{verdict}");
    }
}

#[test]
fn a_message_nobody_sent_is_found() {
    for verdict in broken(|rooms, dice| {
        let sent = Sent { author: "acme/alice".into(), n: ROUNDS + 1 };
        rooms[1 + dice.roll(2)].archive.push(Entry { sent, foreign: true });
    }) {
        assert_eq!(verdict.invented.len(), 1, "{verdict}");
    }
}

#[test]
fn a_server_that_forgets_its_own_is_named_and_nobody_else_blamed() {
    let mut dice = Dice(1);
    let mut rooms = right(&mut dice);
    let sent = Sent { author: "acme/alice".into(), n: ROUNDS + 1 };
    rooms[0].accepted.push(sent);
    let verdict = audit(&rooms);
    assert_eq!(verdict.lost_at_home.len(), 1);
    assert!(verdict.is_good(), "{verdict}");
}

#[test]
fn what_a_server_forgot_after_passing_it_on_must_still_be_everywhere() {
    let mut dice = Dice(1);
    let mut rooms = right(&mut dice);
    let gone = rooms[0].archive.iter().position(|e| !e.foreign).expect("there are own lines");
    let gone = rooms[0].archive.remove(gone).sent;
    let verdict = audit(&rooms);
    assert!(verdict.is_good() && verdict.lost_at_home.len() == 1, "{verdict}");
    let copy = rooms[1].archive.iter().position(|e| e.sent == gone).expect("it was passed on");
    rooms[1].archive.remove(copy);
    assert_eq!(audit(&rooms).lost.len(), 1);
}

#[test]
fn nothing_at_all_is_not_good() {
    assert!(!audit(&[]).is_good());
}
