//! Each rule, broken on purpose between a core and its shell, is noticed within a bounded number of seeds. Who finds a rule
//! here that can be broken unnoticed has found a hole in the simulator.

use intergroup_tests::sim::{self, Broken};

/// Within so many seeds a broken rule must be noticed.
const SEEDS: u64 = 1500;

/// An older store must be put back and started twice while the center is away: one schedule in thousands does that, so its
/// seeds are counted from near one that does.
const FROM_FOR_OLDER_STORES: u64 = 11_001;

fn is_noticed(broken: Broken) {
    let from = if broken == Broken::AnOlderStoreForgetsWhatItSent { FROM_FOR_OLDER_STORES } else { 1 };
    let noticed = (from..from + SEEDS).find(|seed| !sim::whole::run(*seed, Some(broken), false).violations.is_empty());
    match noticed {
        Some(seed) => println!("{broken:?} is noticed by seed {seed}"),
        None => panic!("{broken:?} is not noticed within {SEEDS} seeds"),
    }
}

macro_rules! each_is_noticed {
    ($($test:ident: $broken:ident,)*) => {
        $(
            #[test]
            fn $test() {
                is_noticed(Broken::$broken);
            }
        )*
    };
}

each_is_noticed! {
    center_acts_before_its_commit: CenterActsBeforeCommit,
    gateway_acts_before_its_commit: GatewayActsBeforeCommit,
    cursor_from_live_copies: CursorFromLiveCopies,
    no_fence: NoFence,
    reflection_taken_as_durable: ReflectionIsDurable,
    no_floor: NoFloor,
    seen_rows_dropped: SeenIsForgotten,
    an_older_store_forgets_what_it_sent: AnOlderStoreForgetsWhatItSent,
    center_is_not_asked_what_is_settled: CenterIsNotAskedWhatIsSettled,
    unmap_does_not_drain: UnmapDoesNotDrain,
    remap_begins_at_the_joining: RemapBeginsAtTheJoining,
    end_is_all_that_is_heard: EndIsAllThatIsHeard,
    numbers_given_again: NumbersAreReused,
    echo_known_by_id_only: EchoKnownById,
    outbox_trimmed_at_send: OutboxTrimmedAtSend,
    settled_before_applied: SettledBeforeApplied,
    entries_that_pass_are_not_told: PassedIsNotTold,
    skips_are_not_told: SkipIsNotTold,
    gap_of_the_archive_is_not_reported: GapIsNotReported,
    said_before_its_outcome: SaidBeforeItsOutcome,
    occupants_not_durable: OccupantsAreForgotten,
    page_taken_as_complete: PageIsComplete,
    missed_changes_of_the_list_are_not_fetched: MirrorIsNotRepaired,
    user_list_not_durable: MirrorIsNotDurable,
    roles_are_not_fetched: RolesAreForgotten,
    lists_of_the_room_are_read_once: AwayChangesAreNotRead,
    changed_affiliations_are_not_seen: TurnsAreNotSeen,
    edits_not_durable: EditsAreNotDurable,
    anothers_part_is_edited: AnothersPartIsEdited,
    room_is_not_made_to_fit: RoomIsNotMadeToFit,
    missed_is_trimmed: MissedIsTrimmed,
    absence_is_forgotten: AbsenceIsForgotten,
    sent_is_taken: SentIsTaken,
}
