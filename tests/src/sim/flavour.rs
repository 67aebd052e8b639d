//! In which ways servers differ, as far as it can hurt.

use super::rng::Rng;

/// What a server answers when it is asked for what follows an id that its archive does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownAfter {
    /// `item-not-found` (Prosody with SQL).
    NotFound,
    /// No results, and that this is all (Prosody with files).
    EmptyAndComplete,
    /// Results from some other place (ejabberd: ids are clock stamps; any other id means the beginning).
    FromAnywhere,
}

/// How occupant-ids live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OccupantIds {
    None,
    Stable,
    /// They change when the server restarts; the archive keeps the old ones.
    ChangeAtRestart,
}

/// One kind of server, with one kind of configuration.
#[derive(Debug, Clone)]
pub(super) struct Flavour {
    pub(super) name: &'static str,
    pub(super) unknown_after: UnknownAfter,
    /// Ids are microseconds since 1970; opaque otherwise.
    pub(super) numeric_ids: bool,
    /// Most results of a page, whatever is asked for.
    pub(super) page: usize,
    /// Stamps are whole seconds.
    pub(super) whole_seconds: bool,
    /// Entries name real JIDs (to the ear in the room).
    pub(super) jids_in_archive: bool,
    pub(super) occupant_ids: OccupantIds,
    /// A crash loses the archive's end.
    pub(super) loses_tail: bool,
    /// The room keeps an archive.
    pub(super) archive: bool,
    /// Most entries that are kept,
    pub(super) cap: Option<usize>,
    /// and for how many milliseconds.
    pub(super) expires_after: Option<i64>,
    /// Occupants whose component is gone are put out at the first stanza that cannot be delivered; otherwise they stay.
    pub(super) puts_out: bool,
    /// A graceful restart keeps the occupants.
    pub(super) keeps_occupants: bool,
    /// Two connections of one component share its stanzas; otherwise the newer one takes the place of the older.
    pub(super) shares: bool,
    /// Puppets need an affiliation.
    pub(super) members_only: bool,
    /// The stream ends when something is said that holds the word for it.
    pub(super) poisonable: bool,
}

impl Flavour {
    /// Some kind of server.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let mut flavour = match rng.below(5) {
            0 => prosody("prosody with SQL", UnknownAfter::NotFound, OccupantIds::Stable),
            1 => prosody("prosody with files", UnknownAfter::EmptyAndComplete, OccupantIds::Stable),
            2 => ejabberd("ejabberd with SQL", OccupantIds::None),
            3 => ejabberd("ejabberd with SQL and occupant-ids", OccupantIds::ChangeAtRestart),
            _ => Flavour { loses_tail: true, ..ejabberd("ejabberd with Mnesia", OccupantIds::None) },
        };
        flavour.page = *rng.pick(&[3, 7, 50, 500]);
        flavour.whole_seconds &= rng.chance(700);
        flavour.members_only = rng.chance(300);
        flavour.poisonable = rng.chance(300);
        flavour.archive = !rng.chance(60);
        if rng.chance(80) {
            flavour.cap = Some(rng.index(60) + 10);
        }
        if rng.chance(80) {
            flavour.expires_after = Some(rng.range(20_000, 120_000));
        }
        if !flavour.numeric_ids && rng.chance(400) {
            flavour.jids_in_archive = true;
        }
        flavour
    }
}

fn prosody(name: &'static str, unknown_after: UnknownAfter, occupant_ids: OccupantIds) -> Flavour {
    Flavour {
        name,
        unknown_after,
        numeric_ids: false,
        page: 50,
        whole_seconds: true,
        jids_in_archive: false,
        occupant_ids,
        loses_tail: false,
        archive: true,
        cap: None,
        expires_after: None,
        puts_out: true,
        keeps_occupants: true,
        shares: false,
        members_only: false,
        poisonable: false,
    }
}

fn ejabberd(name: &'static str, occupant_ids: OccupantIds) -> Flavour {
    Flavour {
        name,
        unknown_after: UnknownAfter::FromAnywhere,
        numeric_ids: true,
        page: 500,
        whole_seconds: false,
        jids_in_archive: true,
        occupant_ids,
        loses_tail: false,
        archive: true,
        cap: None,
        expires_after: None,
        puts_out: false,
        keeps_occupants: false,
        shares: true,
        members_only: false,
        poisonable: false,
    }
}
