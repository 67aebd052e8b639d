//! The simulator's schedules, and the proof that it would notice a broken rule.

mod broken;
mod hub;
mod whole;
