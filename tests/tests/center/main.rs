//! The center alone, as a process, with raw links: what gateways may rely on.

mod conditions;
mod lists;
mod nodes;
mod paths;
mod rates;
mod refused;
mod talk;
mod trouble;
