//! All that crosses a process boundary: typed ids, the link's stanzas with their codec, the table of conditions, limits,
//! enrolment, and the administrators' API. Depends on neither tokio nor the gateway nor the center.

pub mod address;
pub mod conditions;
pub mod enrolment;
pub mod history;
pub mod ids;
pub mod limits;
pub mod link;
pub mod list;
pub mod payload;
pub mod rate;
pub mod text;
