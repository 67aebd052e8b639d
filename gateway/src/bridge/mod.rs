//! The core of the gateway: decides what crosses from a room to its group and what is said in the room.
//!
//! In: an [`Event`] and the time. Out: [`Action`]s, to be performed in order. Nothing that depends on a change leaves before
//! `Committed` says that the change is on disk. Never here: sockets, disks, clocks, randomness, XML.

mod action;
mod event;
pub mod status;

pub use action::{Action, CommandId, Level, ReadFrom, Reply, Report, RequestId, RoomAction, Ticket};
pub use event::{
    Affiliation, Answer, Command, Content, Event, Gone, Page, Refusal, Role, RoomEvent, RoomInfo, RoomMessage,
};
