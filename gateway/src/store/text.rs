//! What both stores that are not in memory write alike.

use crate::ids::{Account, Who};

use super::StoreError;

/// A row makes no sense.
pub(super) fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError(format!("the store is damaged: {what}; restore it from a backup"))
}

/// `ear`, or `ENTERPRISE/USER` (neither part can hold a slash).
pub(super) fn who_text(who: &Who) -> String {
    match who {
        Who::Ear => "ear".to_owned(),
        Who::Puppet(account) => account.to_string(),
    }
}

/// Whom such a text names.
pub(super) fn who(text: &str) -> Result<Who, StoreError> {
    if text == "ear" {
        return Ok(Who::Ear);
    }
    let (enterprise, user) = text.split_once('/').ok_or_else(|| damaged(format!("occupant {text}")))?;
    let enterprise = enterprise.parse().map_err(damaged)?;
    Ok(Who::Puppet(Account { enterprise, user: user.parse().map_err(damaged)? }))
}
